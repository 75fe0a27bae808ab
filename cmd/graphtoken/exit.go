package main

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/agent/client"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache/foreign"
)

// The exit codes; README.md and "help exit-codes" list them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitSignIn      = 4
	exitStore       = 5
	exitProvider    = 6
	exitNotSaved    = 7
	exitInterrupted = 130 // the code that shells use for SIGINT
	exitUnread      = 141 // the code that shells use for SIGPIPE
)

// exitCodes is the table of "help exit-codes", as README.md has it.
var exitCodes = []struct{ code, means string }{
	{"0", "done"},
	{"1", "any other failure; doctor: something is risky"},
	{"2", "the command line is wrong, or something that it names can't be used: a file, a port, a keychain"},
	{"3", "nothing is stored, or nobody is signed in there; import finds no tokens; the user isn't in the record, or several users are and no flag names one"},
	{"4", "the user has to sign in again, or didn't finish a sign-in"},
	{"5", "the store can't be reached or written, doctor found something wrong about it, or the record can't be read: it is broken, or was encrypted with another key"},
	{"6", "the identity provider can't be reached, or refuses"},
	{"7", "the token is new and good, but could not be saved"},
	{"126, 127", "exec: the program can't be run, or there is none of that name. Otherwise exec ends as its program does"},
	{"130", "interrupted, or ended by SIGTERM, SIGQUIT or SIGHUP"},
	{"141", "the program that reads the output has ended"},
}

// usageError is a mistake in the command line that the grammar can't find.
type usageError string

func (e usageError) Error() string { return string(e) }

// flagError is a flag or a variable whose value can't be used, because of what it names: a
// file, a port, a keychain.
type flagError struct {
	flag string // "--key-file", "GRAPHTOKEN_KEYS"
	err  error  // its text names the flag
}

func (e *flagError) Error() string { return e.err.Error() }

func (e *flagError) Unwrap() error { return e.err }

// advice implements advisor. It is "" for a flag of one command: the help of the command
// explains it.
func (e *flagError) advice() string {
	const explains = "graphtoken help flags explains "
	name, isFlag := strings.CutPrefix(e.flag, "--")
	switch _, shared := fieldOf(name); {
	case e.flag == "--key-file" || e.flag == "GRAPHTOKEN_KEYS":
		return "graphtoken keygen FILE makes a file of keys, and " + explains + e.flag + "."
	case isFlag && !shared:
		return ""
	}
	return explains + e.flag + "."
}

// isUnread reports whether the output could not be written because its reader has ended,
// as head does after ten lines. That is no mistake, and nothing is said of it.
func isUnread(err error) bool {
	at := (*fs.PathError)(nil)
	return errors.As(err, &at) && at.Path == os.Stdout.Name() && errors.Is(at.Err, syscall.EPIPE)
}

func exitCode(ctx context.Context, err error) int {
	var (
		flag    *flagError
		missing *unrunnable
		told    *client.Error
		usage   usageError
		refusal *msal.Error
		network *url.Error
		inStore *core.Error
		graph   *graphError
		found   *severityError
	)
	switch {
	case err == nil && ctx.Err() == nil:
		return exitOK
	case errors.As(err, &missing):
		return missing.code
	case errors.As(err, &found) && found.wrong == 0:
		return exitFailure
	case errors.As(err, &found):
		return exitStore
	case errors.As(err, &usage), errors.As(err, &flag), errors.Is(err, core.ErrInvalidKey):
		return exitUsage
	case errors.Is(err, core.ErrRefreshedNotSaved):
		return exitNotSaved
	case isUnread(err):
		return exitUnread
	case ctx.Err() != nil: // also if everything was done in the end: a script must not go on
		return exitInterrupted
	case errors.Is(err, core.ErrReauthRequired), errors.Is(err, account.ErrOtherUser), errors.Is(err, errNotBegun),
		errors.Is(err, account.ErrFlowExpired), errors.Is(err, account.ErrFlowUsed), errors.Is(err, account.ErrStateMismatch),
		errors.Is(err, account.ErrNoAddress):
		return exitSignIn
	case errors.Is(err, core.ErrNotFound), errors.Is(err, core.ErrAmbiguous), errors.Is(err, foreign.ErrNoTokens), errors.Is(err, errUntrusted), errors.Is(err, errNotSet):
		return exitNotFound
	case errors.Is(err, foreign.ErrProtected), errors.Is(err, foreign.ErrUnfit), errors.Is(err, core.ErrTooLarge):
		return exitStore
	case errors.Is(err, core.ErrCorrupt), errors.Is(err, core.ErrLegacyToken), errors.Is(err, core.ErrDecrypt), errors.Is(err, errMalformedToken), errors.Is(err, errBound):
		return exitStore
	case errors.As(err, &told):
		return exitOfAgent(told.Code)
	case errors.Is(err, errNoAgent):
		return exitNotFound
	case errors.As(err, &inStore) && inStore.FromBackend():
		return exitStore
	case errors.As(err, &refusal), errors.As(err, &network), errors.As(err, &graph):
		return exitProvider
	}
	return exitFailure
}

// exitOfAgent is the exit code of what an agent answered.
func exitOfAgent(code string) int {
	switch code {
	case client.CodeSignIn:
		return exitSignIn
	case client.CodeAmbiguous, client.CodeUnknownUser:
		return exitNotFound
	case client.CodeForbidden, client.CodeBadRequest:
		return exitUsage
	case client.CodeStore:
		return exitStore
	case client.CodeProvider, client.CodeTimeout:
		return exitProvider
	}
	return exitFailure
}

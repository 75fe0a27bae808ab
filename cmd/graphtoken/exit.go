package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

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

// advice is "" for a flag of one command: the help of the command explains it.
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

// adviceOn tells what the user can do about an error, if the error doesn't say so itself.
func adviceOn(err error, s *session) string {
	var (
		choice  *ambiguousError
		flag    *flagError
		at      *placeError
		refusal *msal.Error
		network *url.Error
		inStore *core.Error
		missing *unrunnable
		source  *sourceError
		logout  *logoutError
	)
	where := ""
	if errors.As(err, &at) {
		where = " " + storeWord(at.name)
	}
	const status = "graphtoken status --json shows who is there."
	switch {
	case errors.As(err, &source):
		return adviceOnSource(source)
	case errors.As(err, &flag):
		return flag.advice()
	case errors.As(err, &missing):
		return "Name a program that is in PATH, or its path: graphtoken exec -- ./PROGRAM"
	case errors.Is(err, core.ErrRefreshedNotSaved):
		return "The token is good, and is lost with this process: mend the store, look closer with graphtoken doctor" + where + ", and sign in again if the next refresh fails."
	case errors.Is(err, account.ErrOtherUser):
		return "Nothing was saved. Sign in again as that user, or name the other one with --user."
	case errors.Is(err, account.ErrStateMismatch):
		return "Nothing was saved. Give the address at which the browser ended after this sign-in began; a sign-in that login start began is still waited for."
	case errors.Is(err, account.ErrNoAddress):
		return "Nothing was saved. Give the address at which the browser ended to the standard input, as one line; a sign-in that login start began is still waited for. Where nobody can paste the address, sign in with --device-code."
	case errors.Is(err, account.ErrFlowUsed):
		return "graphtoken status shows who is signed in. To sign in again, begin with: graphtoken login start"
	case errors.Is(err, account.ErrFlowExpired), errors.Is(err, errNotBegun):
		return "Begin with: graphtoken login start. If it was told --store, --record or --flow, tell login finish the same."
	case errors.As(err, &logout):
		return "There is nobody to sign out: " + status + " graphtoken list --store STORE shows the records of a store."
	case errors.Is(err, core.ErrReauthRequired):
		return "Sign in with: " + s.again("login")
	case errors.Is(err, errMalformedToken):
		return "Obtain another with: " + s.again("refresh")
	case errors.As(err, &choice) && len(choice.flags) > 0:
		return "Choose with " + strings.Join(choice.flags, " and ") + "; " + status
	case errors.Is(err, core.ErrAmbiguous):
		return "Choose with --user and --authority; " + status
	case errors.Is(err, core.ErrNotFound) && strings.Contains(err.Error(), "--authority"):
		return ""
	case errors.Is(err, core.ErrNotFound) && strings.Contains(err.Error(), "signed in: "):
		return "Name one of these, or sign in with: " + s.signIn()
	case errors.Is(err, core.ErrNotFound):
		return "Sign in with: " + s.signIn() + "; graphtoken list --store STORE shows the records of a store."
	case errors.Is(err, core.ErrDecrypt):
		return "Is it another key, or another record's? --key-file and GRAPHTOKEN_KEYS name the keys; --plaintext-reads accepts a record that isn't encrypted yet."
	case errors.Is(err, core.ErrLegacyToken):
		return "Take it into another store with: graphtoken import" + where + " --store ANOTHER"
	case errors.Is(err, core.ErrCorrupt) && !foundByStore(err):
		return "graphtoken never overwrites what it can't read: restore it, or move it away, and sign in with: " + s.signIn()
	case errors.Is(err, core.ErrCorrupt) && !s.encrypted():
		return "Is it encrypted? Name the keys with --key-file or GRAPHTOKEN_KEYS. If not, restore it, or move it away, and sign in with: " + s.signIn()
	case errors.Is(err, core.ErrCorrupt):
		return "Restore it, or move it away, and sign in with: " + s.signIn()
	case errors.Is(err, errNoAgent):
		return "Start one with: " + s.again("agent")
	case errors.Is(err, core.ErrReadOnly):
		return "Save to env://NAME?file=.env or to another store: graphtoken help stores lists them."
	case errors.As(err, &inStore) && inStore.FromBackend() && isLocal(at):
		return "Check the path, its permissions and its owner. Look closer with: graphtoken doctor" + where
	case errors.As(err, &inStore) && inStore.FromBackend():
		return "Check the address, the network and the credentials (graphtoken help stores says where they come from). Look closer with: graphtoken doctor" + where
	case errors.As(err, &refusal) && (refusal.Status >= http.StatusInternalServerError || refusal.Status == http.StatusTooManyRequests):
		return "Try again later: what is stored is as it was."
	case errors.As(err, &refusal) && refusal.Remedy() == "":
		return "Check --client-id, --tenant, --authority and the application's secret or certificate."
	case errors.As(err, &network) && refusal == nil:
		return "Check the network, HTTPS_PROXY, --authority and --ca, and try again: what is stored is as it was."
	case errors.Is(err, errIncomplete):
		return "What is named above tells why. Mend that, and call the command again."
	}
	return ""
}

// adviceOnSource is adviceOn for a place that import reads from.
func adviceOnSource(err *sourceError) string {
	switch {
	case errors.Is(err, core.ErrUnsafeDirectory):
		return "Nothing was saved. If you trust the file, give it to the standard input: graphtoken import - <FILE"
	case errors.Is(err, foreign.ErrProtected), errors.Is(err, core.ErrDecrypt):
		return "Nothing was saved. --key-file, GRAPHTOKEN_KEYS and --keychain name graphtoken's keys, --fernet-key-file python-o365's; without a key, sign in with: graphtoken login"
	}
	if inStore := (*core.Error)(nil); errors.As(err, &inStore) && inStore.FromBackend() && !errors.Is(err, core.ErrNotFound) {
		return "Nothing was saved. Check the address, the network and the credentials (graphtoken help stores says where they come from); graphtoken doctor looks closer."
	}
	return "Nothing was saved. graphtoken import --help shows what can be imported."
}

// isLocal reports whether a store is a file of this machine.
func isLocal(at *placeError) bool {
	if at == nil {
		return false
	}
	scheme, _, remote := strings.Cut(at.place, ":")
	return !remote || slices.Contains([]string{"file", "env", "sqlite"}, scheme)
}

// foundByStore reports whether the store found the fault in a record that was whole for
// its backend. A backend finds records that are empty or cut off.
func foundByStore(err error) bool {
	var inStore *core.Error
	return errors.As(err, &inStore) && !inStore.FromBackend()
}

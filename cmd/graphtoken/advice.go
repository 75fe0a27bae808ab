package main

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
)

// advisor is an error of a type that knows what the user can do about it. The advice is
// empty if the error says so itself.
type advisor interface {
	error
	advice() string
}

const statusShows = "graphtoken status --json shows who is there."

// advices are what the user can do about an error; the first row that fits counts. {store}
// is the store, if it is known. {login}, {refresh} and {agent} are these commands with the
// flags of the present one, and {sign in} is {login} with a --client-id.
var advices = []struct {
	about  error
	advice string
}{
	{core.ErrRefreshedNotSaved, "The token is good, and is lost with this process: mend the store, look closer with graphtoken doctor{store}, and sign in again if the next refresh fails."},
	{account.ErrOtherUser, "Nothing was saved. Sign in again as that user, or name the other one with --user."},
	{account.ErrStateMismatch, "Nothing was saved. Give the address at which the browser ended after this sign-in began; a sign-in that login start began is still waited for."},
	{account.ErrNoAddress, "Nothing was saved. Give the address at which the browser ended to the standard input, as one line; a sign-in that login start began is still waited for. Where nobody can paste the address, sign in with --device-code."},
	{account.ErrFlowUsed, "graphtoken status shows who is signed in. To sign in again, begin with: graphtoken login start"},
	{account.ErrFlowExpired, beginAgain},
	{errNotBegun, beginAgain},
	{core.ErrReauthRequired, "Sign in with: {login}"},
	{errMalformedToken, "Obtain another with: {refresh}"},
	{core.ErrAmbiguous, "Choose with --user and --authority; " + statusShows},
	{errOtherProviders, ""}, // its text says what to do
	{errOtherUsers, "Name one of these, or sign in with: {sign in}"},
	{core.ErrNotFound, "Sign in with: {sign in}; graphtoken list --store STORE shows the records of a store."},
	{core.ErrDecrypt, "Is it another key, or another record's? --key-file and GRAPHTOKEN_KEYS name the keys; --plaintext-reads accepts a record that isn't encrypted yet."},
	{core.ErrLegacyToken, "Take it into another store with: graphtoken import{store} --store ANOTHER"},
	{errNoAgent, "Start one with: {agent}"},
	{core.ErrReadOnly, "Save to env://NAME?file=.env or to another store: graphtoken help stores lists them."},
}

const beginAgain = "Begin with: graphtoken login start. If it was told --store, --record or --flow, tell login finish the same."

// adviceOn tells what the user can do about an error, if the error doesn't say so itself.
func adviceOn(err error, s *session) string {
	if knows := advisor(nil); errors.As(err, &knows) {
		return knows.advice()
	}
	return s.filled(adviceWithGaps(err, s), err)
}

// filled puts the store of err, and commands with the flags of the session, into an advice.
func (s *session) filled(advice string, err error) string {
	store := ""
	if at := (*placeError)(nil); errors.As(err, &at) {
		store = " " + storeWord(at.name)
	}
	return strings.NewReplacer(
		"{store}", store, "{sign in}", s.signIn(),
		"{login}", s.again("login"), "{refresh}", s.again("refresh"), "{agent}", s.again("agent"),
	).Replace(advice)
}

// adviceWithGaps returns the advice on an error, in the form of advices.
func adviceWithGaps(err error, s *session) string {
	for _, row := range advices {
		if errors.Is(err, row.about) {
			return row.advice
		}
	}
	var (
		refusal *msal.Error
		network *url.Error
		inStore *core.Error
	)
	switch {
	case errors.Is(err, core.ErrCorrupt):
		return adviceOnBroken(err, s)
	case errors.As(err, &inStore) && inStore.FromBackend():
		return adviceOnStore(err)
	case errors.As(err, &refusal):
		return adviceOnRefusal(refusal)
	case errors.As(err, &network):
		return "Check the network, HTTPS_PROXY, --authority and --ca, and try again: what is stored is as it was."
	case errors.Is(err, errIncomplete):
		return "What is named above tells why. Mend that, and call the command again."
	}
	return ""
}

// adviceOnBroken is about a record that can't be parsed. A backend finds records that are
// empty or cut off; the store finds the fault in a record that was whole for its backend.
func adviceOnBroken(err error, s *session) string {
	var inStore *core.Error
	switch foundByStore := errors.As(err, &inStore) && !inStore.FromBackend(); {
	case !foundByStore:
		return "graphtoken never overwrites what it can't read: restore it, or move it away, and sign in with: {sign in}"
	case !s.encrypted():
		return "Is it encrypted? Name the keys with --key-file or GRAPHTOKEN_KEYS. If not, restore it, or move it away, and sign in with: {sign in}"
	}
	return "Restore it, or move it away, and sign in with: {sign in}"
}

// adviceOnStore is about a store that can't be reached or written.
func adviceOnStore(err error) string {
	if isLocal(err) {
		return "Check the path, its permissions and its owner. Look closer with: graphtoken doctor{store}"
	}
	return "Check the address, the network and the credentials (graphtoken help stores says where they come from). Look closer with: graphtoken doctor{store}"
}

// isLocal reports whether the store of err is a file of this machine.
func isLocal(err error) bool {
	var at *placeError
	if !errors.As(err, &at) {
		return false
	}
	scheme, _, remote := strings.Cut(at.place, ":")
	return !remote || slices.Contains([]string{"file", "env", "sqlite"}, scheme)
}

// adviceOnRefusal is about a refusal of the provider. If there is a remedy, the refusal's text
// has it.
func adviceOnRefusal(refusal *msal.Error) string {
	switch {
	case refusal.Status >= http.StatusInternalServerError, refusal.Status == http.StatusTooManyRequests:
		return "Try again later: what is stored is as it was."
	case refusal.Remedy() == "":
		return "Check --client-id, --tenant, --authority and the application's secret or certificate."
	}
	return ""
}

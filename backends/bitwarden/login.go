package bitwarden

import (
	"context"
	"net/http"

	"github.com/graphtoken/graphtoken/internal/bitwardenclient"
)

// LoginOptions configures [Login]. The zero value is for Bitwarden's cloud in the United
// States.
type LoginOptions struct {
	// APIURL and IdentityURL are the servers, https://api.bitwarden.com and
	// https://identity.bitwarden.com if empty. They must be https, except on this
	// machine.
	APIURL, IdentityURL string
	// HTTPClient sends the requests; nil means a client that allows 30 seconds for each.
	// Redirects are never followed, whatever the client's settings: a redirect would send
	// the account's secrets to another address.
	HTTPClient *http.Client
	// StateFile is the file that stores the login, so that a program that starts often
	// doesn't log in each time: after too many logins Bitwarden answers 429. The file is
	// encrypted with the access token and has the official SDK's format: both can share
	// one file. Use one file for each access token. Empty means no file.
	StateFile string
}

// Login returns a client for the machine account of an access token. It is pure Go, and
// replaces five calls of the official SDK.
//
// It uses the login in the state file as long as that is valid. Otherwise it asks the
// server for a new one: if there is no file, or it is damaged, or it belongs to another
// access token. A file that can't be written is an error of Login; later, such an error
// is ignored. The client renews the login before it expires, once for all callers.
//
// If the server asks the client to wait (429, or 503 with a Retry-After), the client
// waits as long as the server says, at most a minute and three times, and not past the
// context's deadline. Any other refusal is a [*StatusError] at once. An error about an
// access token that can't be read shows no part of it. An access token with the wrong key
// is core.ErrDecrypt.
func Login(ctx context.Context, token string, o LoginOptions) (Secrets, error) {
	c, err := bitwardenclient.Login(ctx, token, bitwardenclient.Options(o))
	if err != nil {
		return nil, origin.Fail("login", "", err)
	}
	return client{c}, nil
}

// StatusError is an answer of the server that isn't success. Its fields are
//
//	StatusCode int
//	Message    string        // the server's text
//	RetryAfter time.Duration // how long the server asked to wait
//
// Message has no control characters and none of the secrets that were sent to the server.
// It is empty if the server gave no text. RetryAfter is zero if the server didn't ask. The
// method of *StatusError is Error.
type StatusError = bitwardenclient.StatusError

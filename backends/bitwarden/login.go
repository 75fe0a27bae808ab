package bitwarden

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// The servers of Bitwarden's cloud in the United States. In the European Union
// they are https://api.bitwarden.eu and https://identity.bitwarden.eu; a server
// of one's own has them at /api and /identity.
const (
	defaultAPIURL      = "https://api.bitwarden.com"
	defaultIdentityURL = "https://identity.bitwarden.com"
)

// LoginOptions configures [Login]. The zero value is ready for Bitwarden's
// cloud in the United States.
type LoginOptions struct {
	// APIURL and IdentityURL are the servers, https://api.bitwarden.com and
	// https://identity.bitwarden.com where empty. They are https, or on this
	// machine.
	APIURL, IdentityURL string
	// HTTPClient sends the requests; nil means one that gives each 30 seconds.
	// Redirects are not followed, whatever it says: they would take the
	// account's secrets along.
	HTTPClient *http.Client
	// StateFile is where the login is kept, so that a program that starts often
	// doesn't log in each time, which Bitwarden answers with 429. It is
	// encrypted with the access token, and the file the official SDK keeps: both
	// can share one. Each access token needs a file of its own. Empty: none.
	StateFile string
}

// Login returns a client for the machine account of an access token. It is pure
// Go, and does what the official SDK does for five of its calls.
//
// It uses the login in the state file while that is good, and asks the server
// for one otherwise: when there is no file, when it is damaged, or of another
// access token. A file that can't be written is an error here, and overlooked
// later. The client renews the login before it expires, once for all callers.
//
// When the server says it had enough (429, or 503 with a Retry-After), the
// client waits as long as it is told, for a minute and three times at most, and
// not past the context's deadline. Whatever else the server refuses is a
// [*StatusError] at once. An access token that can't be read is an error
// that shows nothing of it; one whose key is wrong is core.ErrDecrypt.
func Login(ctx context.Context, token string, o LoginOptions) (Secrets, error) {
	access, err := parseAccessToken(token)
	if err != nil {
		return nil, origin.Fail("login", "", err)
	}
	api, err := serverURL("APIURL", o.APIURL, defaultAPIURL)
	if err != nil {
		return nil, origin.Fail("login", "", err)
	}
	identity, err := serverURL("IdentityURL", o.IdentityURL, defaultIdentityURL)
	if err != nil {
		return nil, origin.Fail("login", "", err)
	}
	c := &client{
		api:    api,
		sender: newSender(o.HTTPClient),
		session: &session{
			access:   access,
			identity: identity,
			sender:   newSender(o.HTTPClient),
			state:    stateFile{path: o.StateFile, key: &access.key},
			renewing: make(chan struct{}, 1),
		},
	}
	if err := c.session.begin(ctx); err != nil {
		return nil, origin.Fail("login", "", err)
	}
	return c, nil
}

// serverURL refuses what would send credentials in the clear.
func serverURL(option, given, otherwise string) (string, error) {
	if given == "" {
		given = otherwise
	}
	u, err := url.Parse(given)
	switch {
	case err != nil, u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("%s is not the plain URL of a server", option)
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return "", fmt.Errorf("%s is not https", option)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// newSender returns a sender over the user's client, or over one of its own.
func newSender(given *http.Client) *sender {
	own := http.Client{Timeout: 30 * time.Second}
	if given != nil {
		own = *given
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &sender{http: &own}
}

package bitwarden

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// The servers of Bitwarden's cloud in the United States. In the European Union they are
// https://api.bitwarden.eu and https://identity.bitwarden.eu. Your own server has them at
// /api and /identity.
const (
	defaultAPIURL      = "https://api.bitwarden.com"
	defaultIdentityURL = "https://identity.bitwarden.com"
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
	c, err := newClient(token, o)
	if err == nil {
		err = c.session.begin(ctx)
	}
	if err != nil {
		return nil, origin.Fail("login", "", err)
	}
	return c, nil
}

func newClient(token string, o LoginOptions) (*client, error) {
	access, err := parseAccessToken(token)
	if err != nil {
		return nil, err
	}
	api, err := serverURL("APIURL", cmp.Or(o.APIURL, defaultAPIURL))
	if err != nil {
		return nil, err
	}
	identity, err := serverURL("IdentityURL", cmp.Or(o.IdentityURL, defaultIdentityURL))
	if err != nil {
		return nil, err
	}
	return &client{
		api:    api,
		sender: newSender(o.HTTPClient),
		session: &session{
			access:   access,
			identity: identity,
			sender:   newSender(o.HTTPClient),
			state:    stateFile{path: o.StateFile, key: &access.key},
			renewing: make(chan struct{}, 1),
		},
	}, nil
}

// serverURL refuses a URL that would send credentials unencrypted.
func serverURL(option, given string) (string, error) {
	u, err := url.Parse(given)
	switch {
	case err != nil, u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("%s must be a server's URL without user, query or fragment", option)
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		return "", fmt.Errorf("%s must begin with https://", option)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// newSender returns a sender that uses the caller's client, or a new one.
func newSender(given *http.Client) *sender {
	own := http.Client{Timeout: 30 * time.Second}
	if given != nil {
		own = *given
	}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &sender{http: &own}
}

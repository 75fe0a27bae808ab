package bitwardenclient

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/graphtoken/graphtoken/core/bearer"
)

// The servers of Bitwarden's cloud in the United States. In the European Union they are
// https://api.bitwarden.eu and https://identity.bitwarden.eu. Your own server has them at
// /api and /identity.
const (
	DefaultAPIURL      = "https://api.bitwarden.com"
	DefaultIdentityURL = "https://identity.bitwarden.com"
)

// Options has the fields of bitwarden.LoginOptions.
type Options struct {
	APIURL, IdentityURL string
	HTTPClient          *http.Client
	StateFile           string
}

// Login returns the client in pure Go for the machine account of an access token. It is
// bitwarden.Login, which says what the client does; its errors don't name the backend.
func Login(ctx context.Context, token string, o Options) (Secrets, error) {
	access, err := parseAccessToken(token)
	if err != nil {
		return nil, err
	}
	api, err := serverURL("APIURL", cmp.Or(o.APIURL, DefaultAPIURL))
	if err != nil {
		return nil, err
	}
	identity, err := serverURL("IdentityURL", cmp.Or(o.IdentityURL, DefaultIdentityURL))
	if err != nil {
		return nil, err
	}
	s := &session{
		access:   access,
		identity: identity,
		sender:   newSender(o.HTTPClient),
		state:    stateFile{path: o.StateFile, key: &access.key},
		renewing: make(chan struct{}, 1),
	}
	first, err := s.next(ctx, "", s.sender.send)
	if err != nil { // perhaps only that the state file can't be written
		return nil, err
	}
	s.current.Store(first)
	return &client{api: api, sender: newSender(o.HTTPClient), session: s}, nil
}

// serverURL refuses a URL that would send credentials unencrypted.
func serverURL(option, given string) (string, error) {
	u, err := url.Parse(given)
	switch {
	case err != nil, u.Host == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return "", fmt.Errorf("%s must be a server's URL without user, query or fragment", option)
	case u.Scheme != "https" && (u.Scheme != "http" || !bearer.Loopback(u.Hostname())):
		return "", fmt.Errorf("%s must begin with https://", option)
	}
	return strings.TrimRight(u.String(), "/"), nil
}

package msal

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// clouds are the hosts of Microsoft's clouds, with the hosts of one cloud in one row.
// MSAL Go knows them without asking (authority.GetKnownMetadata), and believes a
// discovery document that names any of them (authority.TrustedHost).
var clouds = [][]string{
	{"login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"},
	{"login.partner.microsoftonline.cn", "login.chinacloudapi.cn"},
	{"login.microsoftonline.us", "login.usgovcloudapi.net"},
	{"login-us.microsoftonline.com"},
	{"login.microsoftonline.de"},
	{"login.sovcloud-identity.fr"},
	{"login.sovcloud-identity.de"},
	{"login.sovcloud-identity.sg"},
}

// sameProvider reports whether two hosts, in any letter case, are one identity
// provider, whose tokens are good at both.
func sameProvider(a, b string) bool {
	a, b = canonicalHost(a), canonicalHost(b)
	return a == b || slices.ContainsFunc(clouds, func(hosts []string) bool {
		return slices.Contains(hosts, a) && slices.Contains(hosts, b)
	})
}

// SameProvider reports whether two hosts, in any letter case, are one identity provider: the
// same host, or two names of one of Microsoft's clouds.
func SameProvider(a, b string) bool { return sameProvider(a, b) }

// IsMicrosofts reports whether a host is one at which users of one of Microsoft's clouds
// sign in. Hosts that are named for a customer, such as NAME.b2clogin.com, aren't among them.
func IsMicrosofts(host string) bool { return isMicrosofts(canonicalHost(host)) }

func isMicrosofts(host string) bool {
	return slices.ContainsFunc(clouds, func(hosts []string) bool { return slices.Contains(hosts, host) })
}

func canonicalHost(host string) string { return strings.TrimSuffix(strings.ToLower(host), ":443") }

// checkEndpoint refuses an address in the provider's discovery document to which secrets
// must not be sent, or a browser must not be led. It must be https. Its host must be the
// authority's own, an alias of it by instance discovery or, if the authority is
// Microsoft's, another of Microsoft's: a tenant of a national cloud is served by that
// cloud's hosts.
func (x *exchange) checkEndpoint(name string, u *url.URL) error {
	own, host := canonicalHost(x.authority.host), canonicalHost(u.Host)
	trusted := host == own || slices.Contains(x.aliases, host) || isMicrosofts(own) && isMicrosofts(host)
	if u.Scheme == "https" && u.User == nil && trusted {
		return nil
	}
	return providerFault(fmt.Errorf("the %s in the discovery document is %q, which isn't an https address of %s: nothing is sent there",
		name, core.Printable(address(u)), x.authority.host))
}

// address returns u without parts that may be secret.
func address(u *url.URL) string {
	if u.Opaque != "" {
		return u.Scheme + ":…"
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// client returns the HTTP client for one request. The caller's client may follow
// redirects. Those of a token request would take the refresh token and the client's
// secret to any address that they name, so they are not followed; those of discovery stay
// with https.
func (x *exchange) client() *http.Client {
	c := *x.http
	callers := c.CheckRedirect
	c.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		switch {
		case via[0].Method != http.MethodGet:
			return http.ErrUseLastResponse
		case req.URL.Scheme != "https":
			return providerFault(errors.New("discovery is redirected to an address that is not https"))
		case callers != nil:
			return callers(req, via)
		case len(via) >= 10: // as net/http has it
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
	return &c
}

// fault is an error of this package itself, with its scope.
type fault struct {
	error
	scope core.FailureScope
}

func (f *fault) Unwrap() error                   { return f.error }
func (f *fault) FailureScope() core.FailureScope { return f.scope }

func providerFault(err error) error { return &fault{err, core.FailureOfProvider} }
func userFault(err error) error     { return &fault{err, core.FailureOfUser} }

// Package msal refreshes tokens through MSAL Go, Microsoft's authentication library. A
// [Client] makes token sources that it refreshes. Its Refresh method is a
// [core.RefreshFunc]:
//
//	client, err := msal.NewPublic(clientID, msal.WithAuthority("https://login.microsoftonline.com/common"))
//	if err != nil {
//		return err
//	}
//	source := client.TokenSource(store, key, tokencache.Query{Username: "ana@contoso.com", Scopes: scopes})
//	token, err := source.Token(ctx)
//
// MSAL Go is used for the protocol (discovery, credentials, claims, the request itself),
// and never as the cache. Every call makes an MSAL client of its own, which gets only the
// one refresh token to send. The provider's answer is read where it arrives, in the HTTP
// client. docs/decisions says why: msal-one-client-per-refresh.md and
// msal-reading-the-answer.md name the faults of MSAL Go 1.10.1.
package msal

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/public"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// DefaultAuthority is the authority of a Client without WithAuthority: work, school and
// personal accounts of the public cloud.
const DefaultAuthority = "https://login.microsoftonline.com/common"

// Client talks to an identity provider through MSAL Go for one application. It has no
// tokens, and is safe for concurrent use. Make one and keep it: it remembers what it
// discovered about the provider.
type Client struct {
	id           string
	credentials  func() []confidential.Credential // nil: a public client. A function, because code that prints by reflection can't look into one
	accepted     *atomic.Int32                    // the index of the credential that the provider accepted last
	authority    authority
	http         *http.Client
	discovery    *discovery
	noDiscovery  bool // no instance discovery
	capabilities []string
}

var _ core.RefreshFunc = (*Client)(nil).Refresh

// Option changes a Client that NewPublic or NewConfidential makes.
type Option func(*options)

type options struct {
	authority    string
	http         *http.Client
	noDiscovery  bool
	capabilities []string
	older        []confidential.Credential
}

// WithAuthority names the identity provider and the tenant, as https://host/tenant. The
// default is [DefaultAuthority]. The tenant is for sign-ins; a refresh goes to the tenant
// in which the user signed in.
func WithAuthority(url string) Option {
	return func(o *options) { o.authority = url }
}

// WithHTTPClient sends every request through c. The default is [http.DefaultClient]. The
// time of a call is limited by its context, or by MSAL Go's 30 seconds for each request.
func WithHTTPClient(c *http.Client) Option {
	return func(o *options) { o.http = c }
}

// WithInstanceDiscovery(false) doesn't ask Microsoft whether the authority's host is one
// of its own. It is for any other host, of a private cloud or a test. You have to trust
// that host for other reasons: refresh tokens and client secrets are sent there.
func WithInstanceDiscovery(enabled bool) Option {
	return func(o *options) { o.noDiscovery = !enabled }
}

// WithCapabilities declares what the application can handle. "cp1" means claims
// challenges, in exchange for tokens that are revoked at once
// (https://learn.microsoft.com/entra/identity-platform/claims-challenge).
func WithCapabilities(capabilities ...string) Option {
	return func(o *options) { o.capabilities = slices.Clone(capabilities) }
}

// WithOlderCredentials names credentials to try, in this order, if the provider refuses
// the one before (invalid_client). While an application's secret is rotated, some
// processes may have the new one before the provider has it, or the old one after the
// provider has dropped it. The one that was accepted last is tried first.
func WithOlderCredentials(older ...confidential.Credential) Option {
	older = slices.Clone(older)
	return func(o *options) { o.older = older }
}

// NewPublic returns a client for an application that can't keep a secret: a command line,
// a desktop or mobile application. It does no I/O.
func NewPublic(clientID string, opts ...Option) (*Client, error) {
	c, _, err := newClient(clientID, opts)
	if err != nil {
		return nil, err
	}
	_, err = c.public(c.exchange(nil), c.authority.url)
	return c.checked(err)
}

// NewConfidential returns a client for an application with a credential of its own, which
// MSAL Go makes from a secret, a certificate or an assertion: a web application or a
// daemon. It does no I/O.
func NewConfidential(clientID string, credential confidential.Credential, opts ...Option) (*Client, error) {
	c, o, err := newClient(clientID, opts)
	if err != nil {
		return nil, err
	}
	all := append([]confidential.Credential{credential}, o.older...)
	for _, one := range all {
		if _, err := c.confidentialWith(one, c.exchange(nil), c.authority.url); err != nil {
			return c.checked(err)
		}
	}
	c.credentials = func() []confidential.Credential { return all }
	return c, nil
}

// ID returns the application's client ID.
func (c *Client) ID() string { return c.id }

// Confidential reports whether the client has a credential of its own.
func (c *Client) Confidential() bool { return c.credentials != nil }

// Authority returns the authority for sign-ins, as https://host/tenant.
func (c *Client) Authority() string { return c.authority.url }

// Environment returns the authority's host, which is the environment of its tokens in a
// record, and the [tokencache.Query.Environment] of queries for them.
func (c *Client) Environment() string { return c.authority.host }

// Tenant returns the authority's tenant, which is the realm of a sign-in's tokens.
func (c *Client) Tenant() string { return c.authority.tenant }

// TokenSource returns a source of the tokens that q means, of this client and its
// provider, from the store's record under key, refreshed by c. The client and the
// provider become part of the query. So a record with tokens of another provider, or with
// an application's tokens of several tenants, can't give wrong ones: if q names no
// tenant, the authority's is meant.
func (c *Client) TokenSource(store *core.Store, key string, q tokencache.Query) *core.TokenSource {
	q.ClientID, q.Environment = cmp.Or(q.ClientID, c.id), cmp.Or(q.Environment, c.authority.host)
	if q.App {
		q.Tenant = cmp.Or(q.Tenant, c.authority.tenant)
	}
	return store.TokenSource(key, q, c.Refresh)
}

func newClient(clientID string, opts []Option) (*Client, options, error) {
	o := options{authority: DefaultAuthority}
	for _, opt := range opts {
		opt(&o)
	}
	if clientID == "" {
		return nil, o, errors.New("msal: the client ID is empty")
	}
	a, err := parseAuthority(o.authority)
	if err != nil {
		return nil, o, err
	}
	if o.http == nil {
		o.http = http.DefaultClient
	}
	return &Client{
		id: clientID, authority: a, http: o.http, discovery: newDiscovery(),
		noDiscovery: o.noDiscovery || a.isNotOfInstances(), capabilities: o.capabilities, accepted: new(atomic.Int32),
	}, o, nil
}

// checked returns c if MSAL accepts its settings.
func (c *Client) checked(err error) (*Client, error) {
	if err != nil {
		return nil, fmt.Errorf("msal: %w", err)
	}
	return c, nil
}

func (c *Client) public(x *exchange, authority string) (public.Client, error) {
	return public.New(c.id,
		public.WithAuthority(authority),
		public.WithCache(x),
		public.WithHTTPClient(x),
		public.WithInstanceDiscovery(!c.noDiscovery),
		public.WithClientCapabilities(c.capabilities))
}

func (c *Client) confidential(x *exchange, authority string) (confidential.Client, error) {
	return c.confidentialWith(x.credentials[x.credential], x, authority)
}

func (c *Client) confidentialWith(credential confidential.Credential, x *exchange, authority string) (confidential.Client, error) {
	return confidential.New(authority, c.id, credential,
		confidential.WithCache(x),
		confidential.WithHTTPClient(x),
		confidential.WithInstanceDiscovery(!c.noDiscovery),
		confidential.WithClientCapabilities(c.capabilities))
}

// exchange begins a conversation of MSAL, which finds document in its cache.
func (c *Client) exchange(document []byte) *exchange {
	x := &exchange{http: c.http, authority: c.authority, discovery: c.discovery, cache: document}
	if c.credentials != nil {
		x.credentials, x.accepted = c.credentials(), c.accepted
		x.credential = int(c.accepted.Load())
	}
	return x
}

// call runs one conversation of MSAL with the provider, and returns the provider's
// answer. The error can be shown. Once the provider has answered with tokens, an error of
// MSAL about them doesn't count: the refresh token was spent for them.
//
// The provider authenticates the client before it looks at a grant (RFC 6749 section
// 3.2.1). So a conversation that ends with invalid_client has spent nothing, and is
// repeated with the next credential.
func (x *exchange) call(op string, talk func() error) (*answer, error) {
	err := talk()
	for tried := 1; x.answer == nil && tried < len(x.credentials) && isOfCredential(err); tried++ {
		x.credential = (x.credential + 1) % len(x.credentials)
		err = talk()
	}
	if x.answer != nil {
		x.keepDiscovered()
		if x.accepted != nil {
			x.accepted.Store(int32(x.credential))
		}
		return x.answer, nil
	}
	if err == nil {
		err = errors.New("the provider issued no tokens")
	}
	return nil, x.explain(op, err)
}

func isOfCredential(err error) bool {
	var refused *Error
	return errors.As(err, &refused) && refused.Code == "invalid_client"
}

// authority is an identity provider and a tenant there.
type authority struct {
	url    string // https://host/tenant, in lower case, as MSAL Go has it; for a B2C authority, the policy follows
	host   string
	tenant string
}

func parseAuthority(raw string) (authority, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.ToLower(strings.TrimRight(raw, "/")), "/v2.0"))
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return authority{}, malformed(raw)
	}
	u.Host = canonicalHost(u.Host)
	// A customers' tenant has its name in the host, and needs no other.
	// https://learn.microsoft.com/entra/external-id/customers/concept-supported-features-customers
	if name, isCustomers := strings.CutSuffix(u.Hostname(), customersDomain); isCustomers && len(u.Path) < 2 {
		u.Path = "/" + name + ".onmicrosoft.com"
	}
	if len(u.Path) < 2 {
		return authority{}, malformed(raw)
	}
	tenant, _, _ := strings.Cut(u.Path[1:], "/")
	return authority{url: u.String(), host: u.Host, tenant: tenant}, nil
}

func malformed(raw string) error {
	return fmt.Errorf("msal: the authority %q is not of the form https://host/tenant", withoutPassword(raw))
}

const customersDomain = ".ciamlogin.com"

// isNotOfInstances reports whether instance discovery knows nothing of the authority,
// although it is Microsoft's product: a host of Azure AD B2C or of a customers' tenant,
// or an Active Directory server. MSAL Python doesn't ask either (authority.py,
// WELL_KNOWN_B2C_HOSTS).
func (a authority) isNotOfInstances() bool {
	host, _, _ := strings.Cut(a.host, ":")
	return a.tenant == "adfs" || slices.ContainsFunc([]string{customersDomain, ".b2clogin.com", ".b2clogin.us", ".b2clogin.de", ".b2clogin.cn"}, func(domain string) bool {
		return strings.HasSuffix(host, domain)
	})
}

// isOne reports whether the authority means one tenant, whatever its name elsewhere: an
// Active Directory server, or a B2C policy, which follows the tenant.
func (a authority) isOne() bool {
	return a.tenant == "adfs" || a.tenant == "dstsv2" || strings.Count(a.url, "/") > 3
}

// withoutPassword returns an address, which may not even parse, without the text before
// its host.
func withoutPassword(address string) string {
	if at := strings.LastIndex(address, "@"); at >= 0 {
		return "…" + address[at:]
	}
	return address
}

// at returns the URL and the realm of the tenant, or of the authority itself for "". The
// host is always the authority's: a record must not decide where a secret is sent.
func (a authority) at(tenant string) (address, realm string) {
	switch {
	case tenant == "", strings.EqualFold(tenant, a.tenant):
		return a.url, a.tenant
	case a.isOne():
		return a.url, a.tenant
	}
	return "https://" + a.host + "/" + url.PathEscape(tenant), tenant
}

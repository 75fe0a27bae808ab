package account

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// DefaultScope is what a Config without Scopes asks for: every permission of
// Microsoft Graph that the application is registered with.
const DefaultScope = "https://graph.microsoft.com/.default"

// NativeClientURL is the redirect URL of a Config without one: Microsoft's page
// for applications without a web server, where the user copies the address
// from the browser. The application's registration must list it (platform
// "Mobile and desktop applications").
const NativeClientURL = "https://login.microsoftonline.com/common/oauth2/nativeclient"

// Config says which application signs users in, and to what. Only ClientID is needed.
type Config struct {
	ClientID string

	// Credential makes the application a confidential client: a web application
	// or a daemon. The zero value is a public client: a script, a command line, a
	// desktop application.
	Credential Credential

	// Authority is the identity provider, https://login.microsoftonline.com by
	// default, and Tenant a tenant's ID or domain, or one of "common" (the
	// default), "organizations" and "consumers". Authority may name the tenant
	// itself: https://host/tenant, with or without /v2.0 behind it. Where a user has
	// tokens of several tenants, those of Tenant are meant, and with none of the
	// user's own.
	//
	// Other authorities are https://NAME.ciamlogin.com (customers' tenants),
	// https://NAME.b2clogin.com/NAME.onmicrosoft.com/POLICY (Azure AD B2C) and
	// https://HOST/adfs (Active Directory Federation Services).
	Authority, Tenant string

	// RedirectURL is where the browser is sent back to: NativeClientURL by
	// default. A Loopback prompt makes its own.
	RedirectURL string

	// Scopes are what is signed in for, and what TokenSource asks for unless
	// it is told otherwise: DefaultScope by default. openid, profile and
	// offline_access are always asked for. A text with several scopes is split.
	Scopes []string

	// Username is the user meant. A sign-in of anybody else is ErrOtherUser, and
	// stores nothing. It is needed where several users share a record.
	Username string

	// App means the application itself instead of a user (the client
	// credentials grant). It needs a Credential, one Tenant, and scopes that end in
	// /.default.
	App bool

	// NoStore reads the store, and writes nothing to it: what a sign-in or a
	// refresh brings is kept in the memory of the App or Account, and lost with it.
	// Where the provider takes a refresh token once only, the stored one is good for
	// nothing afterwards.
	NoStore bool

	// Library is another MSAL that works on the record, too. A sign-in then files
	// tokens where that library looks for them and puts its own: see docs/other-msals.md.
	Library tokencache.Library

	// HTTPClient sends the requests; http.DefaultClient by default.
	HTTPClient *http.Client

	// DisableInstanceDiscovery is for a host that isn't Microsoft's: see
	// [msal.WithInstanceDiscovery].
	DisableInstanceDiscovery bool
}

// completed is the config with its defaults, and without the credential, which the
// client has.
func (cfg Config) completed() (Config, *msal.Client, error) {
	cfg.Scopes = tokencache.SplitScopes(cfg.Scopes...)
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{DefaultScope}
	}
	cfg.RedirectURL = cmp.Or(cfg.RedirectURL, NativeClientURL)
	client, err := cfg.client()
	if err == nil && cfg.App {
		err = isForApplications(client, cfg.Scopes)
	}
	cfg.Credential = Credential{}
	return cfg, client, err
}

func (cfg Config) client() (*msal.Client, error) {
	authority, err := cfg.authority()
	if err != nil {
		return nil, err
	}
	opts := []msal.Option{
		msal.WithAuthority(authority),
		msal.WithHTTPClient(cfg.HTTPClient),
		msal.WithInstanceDiscovery(!cfg.DisableInstanceDiscovery),
	}
	credentials, err := cfg.Credential.msal()
	if err != nil {
		return nil, err
	}
	if len(credentials) == 0 {
		return msal.NewPublic(cfg.ClientID, opts...)
	}
	return msal.NewConfidential(cfg.ClientID, credentials[0], append(opts, msal.WithOlderCredentials(credentials[1:]...))...)
}

// authority is Authority and Tenant in one.
func (cfg Config) authority() (string, error) {
	base := strings.TrimSuffix(strings.TrimRight(cmp.Or(cfg.Authority, "https://login.microsoftonline.com"), "/"), "/v2.0")
	u, err := url.Parse(base)
	if err != nil {
		return "", errors.New("the authority is not a URL") // and is not quoted: a password may be in it
	}
	named := strings.TrimPrefix(u.Path, "/")
	first, _, _ := strings.Cut(named, "/")
	switch {
	case named == "" && cfg.Tenant == "" && strings.HasSuffix(strings.ToLower(u.Hostname()), ".ciamlogin.com"):
		return base, nil
	case named == "":
		return base + "/" + url.PathEscape(cmp.Or(cfg.Tenant, "common")), nil
	case cfg.Tenant == "" || strings.EqualFold(first, cfg.Tenant):
		return base, nil
	}
	return "", fmt.Errorf("the authority names the tenant %q, and Tenant is %q", first, cfg.Tenant)
}

// isForApplications says in a sentence why an application can't sign itself in.
func isForApplications(client *msal.Client, scopes []string) error {
	if !client.Confidential() {
		return errors.New("an application that signs in itself needs a Credential")
	}
	if isShared(client.Tenant()) {
		return fmt.Errorf("an application signs itself in at one tenant: set Tenant to its ID or domain, instead of %q", client.Tenant())
	}
	if other := slices.IndexFunc(scopes, func(s string) bool { return !strings.HasSuffix(s, "/.default") }); other >= 0 {
		return fmt.Errorf("an application that signs in itself gets all that its registration permits: the scope is %q, or another resource's /.default, and can't be %q", DefaultScope, scopes[other])
	}
	return nil
}

// isShared reports whether a tenant is a word for whichever is the user's own.
func isShared(tenant string) bool {
	switch strings.ToLower(tenant) {
	case "common", "organizations", "consumers":
		return true
	}
	return false
}

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

// DefaultScope is the scope of a Config without Scopes: every permission of Microsoft
// Graph with which the application is registered.
const DefaultScope = "https://graph.microsoft.com/.default"

// NativeClientURL is the redirect URL of a Config without one: Microsoft's page for
// applications without a web server, where the user copies the address from the browser.
// The application must be registered with it (platform "Mobile and desktop
// applications").
const NativeClientURL = "https://login.microsoftonline.com/common/oauth2/nativeclient"

// Config says which application signs users in, and for which scopes. Only ClientID is
// necessary.
type Config struct {
	ClientID string

	// Credential makes the application a confidential client: a web application or a
	// daemon. The zero value is a public client: a script, a command line, a desktop
	// application.
	Credential Credential

	// Authority is the identity provider, by default https://login.microsoftonline.com.
	// Tenant is a tenant's ID or domain, or one of "common" (the default),
	// "organizations" and "consumers". Authority may contain the tenant:
	// https://host/tenant, also with /v2.0 at its end. If a user has tokens of several
	// tenants, those of Tenant are meant; without a Tenant, those of the user's own.
	//
	// Other authorities are https://NAME.ciamlogin.com (customers' tenants),
	// https://NAME.b2clogin.com/NAME.onmicrosoft.com/POLICY (Azure AD B2C) and
	// https://HOST/adfs (Active Directory Federation Services).
	Authority, Tenant string

	// RedirectURL is where the browser is sent back to, by default NativeClientURL. A
	// Loopback prompt makes its own.
	RedirectURL string

	// Scopes are the scopes of a sign-in, and of a TokenSource without scopes of its own;
	// by default DefaultScope. openid, profile and offline_access are always added. A
	// text with several scopes is split.
	Scopes []string

	// Username is the user who is meant. A sign-in of another user is ErrOtherUser, and
	// stores nothing. It is necessary if several users share a record.
	Username string

	// App means the application itself instead of a user (the client credentials grant).
	// It needs a Credential, one Tenant, and scopes that end with /.default.
	App bool

	// NoStore reads the store, and writes nothing to it. Tokens of a sign-in or a refresh
	// are kept in the memory of the App or Account, and lost with it. If the provider
	// accepts a refresh token only once, the stored one can't be used afterwards.
	NoStore bool

	// Capabilities are what the application can handle, such as "cp1": claims
	// challenges. See [msal.WithCapabilities].
	Capabilities []string

	// Library is another MSAL that works on the record, too. A sign-in then stores tokens
	// under that library's keys: see docs/other-msals.md.
	Library tokencache.Library

	// HTTPClient sends the requests; http.DefaultClient by default.
	HTTPClient *http.Client

	// DisableInstanceDiscovery is for a host that isn't Microsoft's: see
	// [msal.WithInstanceDiscovery].
	DisableInstanceDiscovery bool
}

// completed returns the config with its defaults, and without the credential, which the
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
	cfg.Credential, cfg.Capabilities = Credential{}, nil
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
		msal.WithCapabilities(cfg.Capabilities...),
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

// authority returns Authority and Tenant in one.
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

// isForApplications returns why an application can't sign itself in.
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

// isShared reports whether a tenant is a word for the user's own.
func isShared(tenant string) bool {
	switch strings.ToLower(tenant) {
	case "common", "organizations", "consumers":
		return true
	}
	return false
}

// Package account signs users and applications in at Microsoft Entra, and
// keeps their tokens in a [core.Store]. It is what python-o365's Account does
// about authentication.
//
// A user signs in with a browser, in two steps that may run in different
// processes, or in two requests of a web application:
//
//	a, err := account.New(store, "tokens", account.Config{ClientID: id, Scopes: []string{"User.Read", "Mail.Read"}})
//	if err != nil {
//		return err
//	}
//	address, flow, err := a.AuthURL(ctx, account.AuthOptions{})
//	… the user visits address, and comes back at redirect …
//	who, err := a.SignIn(ctx, flow, redirect)
//
// SignInLoopback does both where a browser runs on the same machine, and
// SignInApp needs no user. Afterwards, and in every process that shares the
// store:
//
//	token, err := a.TokenSource().Token(ctx)
//
// A sign-in adds to the record under its key: other users' tokens in it stay.
package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
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

// Config says who signs in to what. Only ClientID is needed.
type Config struct {
	ClientID string

	// ClientSecret makes the application a confidential client: a web
	// application or a daemon. ParseSecret reads it.
	ClientSecret tokencache.Secret

	// Authority is the identity provider, https://login.microsoftonline.com by
	// default, and Tenant a tenant's ID or domain, or one of "common" (the
	// default), "organizations" and "consumers". Authority may name the tenant
	// itself: https://host/tenant. Where a user has tokens of several tenants in
	// the record, those of Tenant are meant, and with none of the user's own.
	Authority, Tenant string

	// RedirectURL is where the browser is sent back to: NativeClientURL by
	// default. SignInLoopback makes its own.
	RedirectURL string

	// Scopes are what is signed in for, and what TokenSource asks for unless
	// it is told otherwise: DefaultScope by default. openid, profile and
	// offline_access are always asked for. A text with several scopes is split.
	Scopes []string

	// Username is the user meant, and needed where several share the record.
	Username string

	// App means the application itself instead of a user (the client
	// credentials grant). It needs a ClientSecret and a Tenant.
	App bool

	// Library is another MSAL that works on the record, too. A sign-in then files
	// tokens where that library looks for them and puts its own: see docs/other-msals.md.
	Library tokencache.Library

	// HTTPClient sends the requests; http.DefaultClient by default.
	HTTPClient *http.Client

	// DisableInstanceDiscovery is for a host that isn't Microsoft's: see
	// [msal.WithInstanceDiscovery].
	DisableInstanceDiscovery bool
}

// Account is a user, or an application, whose tokens are in a store. It is safe
// for concurrent use. Make one and keep it.
type Account struct {
	store  *core.Store
	key    string
	client *msal.Client
	config Config
}

// New returns the account that cfg describes, with its tokens in the store's
// record under key. It does no I/O.
func New(store *core.Store, key string, cfg Config) (*Account, error) {
	if store == nil {
		return nil, errors.New("account: there is no store")
	}
	if err := core.ValidateKey(key); err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	client, err := cfg.client()
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	cfg.ClientSecret = "" // the client has it, and %+v of an Account would print it
	cfg.Scopes = tokencache.SplitScopes(cfg.Scopes...)
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{DefaultScope}
	}
	cfg.RedirectURL = cmp.Or(cfg.RedirectURL, NativeClientURL)
	return &Account{store: store, key: key, client: client, config: cfg}, nil
}

// TokenSource returns a source of access tokens for scopes, or for the Config's
// where none are named. It refreshes them through the store, once for all who
// share it.
func (a *Account) TokenSource(scopes ...string) *core.TokenSource {
	scopes = tokencache.SplitScopes(scopes...)
	if len(scopes) == 0 {
		scopes = a.config.Scopes
	}
	q := a.query()
	q.Scopes = msal.Scopes(scopes...)
	return a.client.TokenSource(a.store, a.key, q)
}

// SignInApp signs the application itself in, and returns its access token. It
// finds out at once what is wrong with the secret; a TokenSource alone would
// do for the rest. With core.ErrRefreshedNotSaved the token is good, and the
// store keeps it.
func (a *Account) SignInApp(ctx context.Context) (tokencache.AccessToken, error) {
	if !a.config.App {
		return tokencache.AccessToken{}, errors.New("account: sign in: Config.App is not set")
	}
	scopes := msal.Scopes(a.config.Scopes...)
	response, err := a.client.AppToken(ctx, msal.AppRequest{Scopes: scopes})
	if err != nil {
		return tokencache.AccessToken{}, fmt.Errorf("account: sign in: %w", err)
	}
	cache, err := a.put(ctx, response)
	if cache == nil {
		return tokencache.AccessToken{}, err
	}
	q := a.query()
	q.Scopes = scopes
	token, found := cache.AccessToken(q)
	if !found && err == nil {
		err = fmt.Errorf("account: sign in: the provider gave no bearer token for %s, but one of type %q for %s",
			strings.Join(scopes, " "), core.Printable(cmp.Or(response.TokenType, "Bearer")), core.Printable(response.Scope))
	}
	return token, err
}

// SignOut removes the tokens of the user, or the application, from the record;
// those of others stay. It says core.ErrNotFound where there are none. The
// provider is not told: tokens that were copied elsewhere go on working until
// they expire.
func (a *Account) SignOut(ctx context.Context) error {
	return SignOut(ctx, a.store, a.key, a.query())
}

// SignOut is [Account.SignOut] for whomever q means in the store's record under
// key. It needs no provider.
func SignOut(ctx context.Context, store *core.Store, key string, q tokencache.Query) error {
	err := store.Update(ctx, key, func(c *tokencache.Cache) error {
		if c.Ambiguous(q) {
			return core.ErrAmbiguous
		}
		if !c.Remove(q) {
			return fmt.Errorf("%w of %s", core.ErrNotFound, nameOf(q))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("account: sign out: %w", err)
	}
	return nil
}

// nameOf says whom a query means.
func nameOf(q tokencache.Query) string {
	if q.App {
		return strings.TrimSpace("the application " + core.Printable(q.ClientID))
	}
	return core.Printable(cmp.Or(q.Username, q.HomeAccountID, "anybody"))
}

// query is the account in a token cache.
func (a *Account) query() tokencache.Query {
	q := tokencache.Query{Username: a.config.Username, Environment: a.client.Environment(), Tenant: a.tenant()}
	if a.config.App {
		q.App, q.Username, q.ClientID = true, "", a.config.ClientID
		q.Tenant = a.client.Tenant() // an application is at home where it signs in
	}
	return q
}

// tenant is the tenant whose tokens are meant, and "" where the authority names
// none: its tenant is then a word for whichever is the user's own.
func (a *Account) tenant() string {
	switch tenant := a.client.Tenant(); tenant {
	case "common", "organizations", "consumers":
		return ""
	default:
		return tenant
	}
}

// put adds a sign-in's tokens to the record, among those that are there, and
// returns what is there then. Where they can't be saved, it returns both that and
// core.ErrRefreshedNotSaved: the store keeps them.
func (a *Account) put(ctx context.Context, response tokencache.TokenResponse) (*tokencache.Cache, error) {
	response.Library = a.config.Library
	cache, err := a.store.Put(ctx, a.key, response)
	if err != nil {
		err = fmt.Errorf("account: signed in, but the tokens are not saved: %w", err)
	}
	return cache, err
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
	if cfg.ClientSecret == "" {
		if cfg.App {
			return nil, errors.New("an application that signs in itself needs a client secret")
		}
		return msal.NewPublic(cfg.ClientID, opts...)
	}
	secret, err := ParseSecret(cfg.ClientSecret.Reveal())
	if err != nil {
		return nil, err
	}
	credential, err := confidential.NewCredFromSecret(secret.Reveal())
	if err != nil {
		return nil, err
	}
	return msal.NewConfidential(cfg.ClientID, credential, opts...)
}

// authority is Authority and Tenant in one.
func (cfg Config) authority() (string, error) {
	base := strings.TrimRight(cmp.Or(cfg.Authority, "https://login.microsoftonline.com"), "/")
	u, err := url.Parse(base)
	if err != nil {
		return "", errors.New("the authority is not a URL") // and is not quoted: a password may be in it
	}
	named := strings.TrimPrefix(u.Path, "/")
	switch {
	case named == "":
		return base + "/" + url.PathEscape(cmp.Or(cfg.Tenant, "common")), nil
	case cfg.Tenant == "" || strings.EqualFold(named, cfg.Tenant):
		return base, nil
	}
	return "", fmt.Errorf("the authority names the tenant %q, and Tenant is %q", named, cfg.Tenant)
}

// Package account signs users and applications in at Microsoft Entra, and keeps their
// tokens in a [core.Store]. It does the authentication that python-o365's Account does,
// for one user or a million.
//
// An [App] is a program's application. Each user who signs in gets a record of their own
// in the store, so no program has to choose keys. In a web application:
//
//	app, err := account.NewApp(store, account.Config{ClientID: id, Credential: account.Secret(secret), RedirectURL: "https://app.example/callback"})
//	if err != nil {
//		return err
//	}
//	address, flow, err := app.AuthURL(ctx, account.AuthOptions{}) // keep flow in the user's session, and redirect the browser to address
//	…
//	ana, err := app.SignIn(ctx, flow, r.URL.String()) // in the handler of the redirect URL; keep ana.User().HomeAccountID in the session
//	…
//	ana := app.Account(homeAccountID) // in later requests
//	resp, err := ana.HTTPClient().Get("https://graph.microsoft.com/v1.0/me")
//
// A program on the user's own machine signs in with one call, [App.Authenticate]. A
// daemon signs itself in with [App.SignInApp].
//
// [New] is for one record with a key of its own, such as a script's file, or the record
// in which python-o365 keeps all its users.
package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Account is a user, or an application, whose tokens are in a store. It is safe for
// concurrent use. A web server can make one per request, because that costs little.
type Account struct {
	app    *App
	store  *core.Store
	key    string
	itself bool   // the application itself
	tenant string // the tenant whose tokens are meant; "" is the user's own

	meant tokencache.Account                 // the only user who may sign in, by ID or by name; without both, any user may
	user  atomic.Pointer[tokencache.Account] // as far as known
}

// New returns the account that cfg describes. Its tokens are in the store's record under
// key: a script's file, or a record that several users share. New does no I/O.
//
// After a sign-in the account means the user who signed in, unless cfg.Username names
// one.
func New(store *core.Store, key string, cfg Config) (*Account, error) {
	if err := core.ValidateKey(key); err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	p, err := NewApp(store, cfg)
	if err != nil {
		return nil, err
	}
	a := &Account{app: p, store: p.store, key: key, itself: cfg.App, tenant: p.tenant()}
	a.belongsTo(cfg.Username)
	return a, nil
}

// User returns the facts about the user that are known without I/O. After a sign-in, and
// for an account from App.Accounts or App.User, these are all; for one from App.Account,
// the home account ID; for one from New, the Config's user name. An application's own
// account has no user.
func (a *Account) User() tokencache.Account {
	if who := a.user.Load(); who != nil && !a.itself && who.HomeAccountID != nobody {
		return *who
	}
	return tokencache.Account{}
}

// TokenSource returns a source of access tokens for scopes, or for the Config's scopes if
// there are none. It refreshes them through the store, once for all processes that share
// the store.
func (a *Account) TokenSource(scopes ...string) *core.TokenSource {
	scopes = tokencache.SplitScopes(scopes...)
	if len(scopes) == 0 {
		scopes = a.app.config.Scopes
	}
	q := a.query()
	q.Scopes = msal.Scopes(scopes...)
	return a.app.client.TokenSource(a.store, a.key, q)
}

// HTTPClient returns a client that sends the account's token, for the Config's scopes,
// with requests to Microsoft Graph. It sends requests as Config.HTTPClient would.
// [bearer.Transport] says which hosts get the token.
func (a *Account) HTTPClient() *http.Client {
	c := http.Client{}
	if a.app.config.HTTPClient != nil {
		c = *a.app.config.HTTPClient
	}
	c.Transport = &bearer.Transport{Source: a.TokenSource(), Base: c.Transport}
	return &c
}

// IsAuthenticated reports whether the record has what TokenSource needs: a valid access
// token, or a refresh token, which the provider may still refuse. It asks the store and
// not the provider. An application with a credential needs no token, and is always
// authenticated.
func (a *Account) IsAuthenticated(ctx context.Context) (bool, error) {
	if a.itself {
		return true, nil
	}
	c, _, err := a.store.Load(ctx, a.key)
	if errors.Is(err, core.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("account: %w", err)
	}
	q := a.query()
	q.ClientID = a.app.client.ID()
	if c.Ambiguous(q) {
		return false, fmt.Errorf("account: %w", core.ErrAmbiguous)
	}
	valid := q
	valid.Scopes = msal.Scopes(a.app.config.Scopes...)
	return c.LongLived(q) || !c.Expired(valid, time.Now()), nil
}

// Refresh obtains a new token for the Config's scopes even if the present one is valid.
// With core.ErrRefreshedNotSaved the new token is good, and not saved yet.
func (a *Account) Refresh(ctx context.Context) error {
	_, err := a.TokenSource().Refresh(ctx)
	return err
}

// AuthURL is [App.AuthURL] for this account. If the account belongs to one user, a
// sign-in of another is refused.
func (a *Account) AuthURL(ctx context.Context, o AuthOptions) (address string, flow Flow, err error) {
	return a.app.begin(ctx, a, o)
}

// SignIn is [App.SignIn] into the account's record. The account then means the user who
// signed in. If the account belongs to one user, the sign-in of another is ErrOtherUser,
// whether the flow began at this account or elsewhere.
func (a *Account) SignIn(ctx context.Context, flow Flow, redirect string) error {
	_, err := a.app.signIn(ctx, a, flow, redirect)
	return err
}

// Authenticate is a whole sign-in into the account's record; p leads the user through it.
// An application that signs itself in needs no prompt, and p is nil. The account then
// means the user who signed in. [App.SignIn] describes the errors.
func (a *Account) Authenticate(ctx context.Context, p Prompt, o AuthOptions) error {
	if a.itself {
		_, err := a.signedIn(a.signInApp(ctx))
		return err
	}
	_, err := a.app.authenticate(ctx, a, p, o)
	return err
}

// InTenant returns the same user in another tenant, in which the user is a guest. tenant
// is an ID or a domain; "" means that the home tenant comes first.
func (a *Account) InTenant(tenant string) *Account {
	b := a.copied()
	b.tenant = tenant
	return b
}

// NotStoring returns the same account with Config.NoStore: tokens of a refresh stay in
// memory.
func (a *Account) NotStoring() *Account {
	b := a.copied()
	b.store = overlaid(a.store)
	return b
}

// As returns the account of another user in the same record, by name. A sign-in of any
// other user is refused, as with Config.Username.
func (a *Account) As(username string) *Account {
	b := a.copied()
	b.belongsTo(username)
	return b
}

// belongsTo makes the account that of the user with a name; "" is any user.
func (a *Account) belongsTo(username string) {
	a.meant = tokencache.Account{Username: username}
	a.user.Store(&tokencache.Account{Username: username, Environment: a.app.client.Environment()})
}

func (a *Account) copied() *Account {
	b := &Account{app: a.app, store: a.store, key: a.key, itself: a.itself, tenant: a.tenant, meant: a.meant}
	b.user.Store(a.user.Load())
	return b
}

// Usernames returns the names of all users of the account's record.
func (a *Account) Usernames(ctx context.Context) ([]string, error) {
	c, _, err := a.store.Load(ctx, a.key)
	if errors.Is(err, core.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	var names []string
	for _, who := range c.Accounts() {
		if len(names) == 0 || names[len(names)-1] != who.Username { // accounts are in the order of their names
			names = append(names, who.Username)
		}
	}
	return names, nil
}

// SignOut removes the tokens of the user, or the application, from the record: a user's in
// every tenant, and those that other applications keep there, too. Those of other users
// stay; a record that is empty then is deleted. SignOut returns core.ErrNotFound if there
// are no tokens. The provider is not told: copies of the tokens work until they
// expire.
//
// Backends don't delete by version. If a user signs in to the record after the last look at
// it and before its deletion, that sign-in is lost.
func (a *Account) SignOut(ctx context.Context) error {
	return SignOut(ctx, a.store, a.key, a.query())
}

// SignOutAll signs out all users of the account's record, and the application: it deletes
// the record.
func (a *Account) SignOutAll(ctx context.Context) error {
	if err := a.store.Delete(ctx, a.key); err != nil {
		return fmt.Errorf("account: sign out: %w", err)
	}
	return nil
}

// SignOut is [Account.SignOut] for the user, or the application, that q means in the
// store's record under key. It needs no provider.
func SignOut(ctx context.Context, store *core.Store, key string, q tokencache.Query) error {
	isEmpty := false
	err := store.Update(ctx, key, func(c *tokencache.Cache) error {
		if c.Ambiguous(q) {
			return core.ErrAmbiguous
		}
		if !c.Remove(q) {
			return fmt.Errorf("%w of %s", core.ErrNotFound, nameOf(q))
		}
		isEmpty = c.IsEmpty()
		return nil
	})
	if err == nil && isEmpty {
		err = deleteEmpty(ctx, store, key)
	}
	if err != nil {
		return fmt.Errorf("account: sign out: %w", err)
	}
	return nil
}

// deleteEmpty deletes a record, unless a user has signed in again.
func deleteEmpty(ctx context.Context, store *core.Store, key string) error {
	c, _, err := store.Load(ctx, key)
	if errors.Is(err, core.ErrNotFound) || err == nil && !c.IsEmpty() {
		return nil
	}
	if err != nil {
		return err
	}
	return store.Delete(ctx, key)
}

// nameOf describes whom a query means.
func nameOf(q tokencache.Query) string {
	switch {
	case q.App:
		return strings.TrimSpace("the application " + core.Printable(q.ClientID))
	case q.Username != "":
		return core.Printable(q.Username)
	case q.HomeAccountID != "":
		return core.Printable(q.HomeAccountID)
	}
	return "anybody"
}

// query returns the account's query.
func (a *Account) query() tokencache.Query {
	q := tokencache.Query{Environment: a.app.client.Environment(), Tenant: a.tenant}
	if a.itself {
		q.App, q.ClientID = true, a.app.client.ID()
		q.Tenant = a.app.client.Tenant() // an application's tokens belong to the tenant where it signs in
		return q
	}
	if who := a.user.Load(); who.HomeAccountID != "" {
		q.HomeAccountID = who.HomeAccountID
	} else {
		q.Username = who.Username
	}
	return q
}

// signInApp obtains the application's own token, and adds it to the record.
func (a *Account) signInApp(ctx context.Context) error {
	scopes := msal.Scopes(a.app.config.Scopes...)
	response, err := a.app.client.AppToken(ctx, msal.AppRequest{Scopes: scopes})
	if err != nil {
		return err
	}
	response.Library = a.app.config.Library
	cache, err := a.store.Put(ctx, a.key, response)
	if cache == nil {
		return err
	}
	q := a.query()
	q.Scopes = scopes
	if _, found := cache.AccessToken(q); !found {
		return errors.Join(err, fmt.Errorf("the provider issued no bearer token for %s, but a token of type %q for %s",
			strings.Join(scopes, " "), core.Printable(cmp.Or(response.TokenType, "Bearer")), core.Printable(response.Scope)))
	}
	if err != nil {
		return fmt.Errorf("signed in, but the tokens are not saved: %w", err)
	}
	return nil
}

// signedIn returns the account and the error of a sign-in whose tokens may be in memory
// alone.
func (a *Account) signedIn(err error) (*Account, error) {
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, core.ErrRefreshedNotSaved):
		return a, fmt.Errorf("account: sign in: %w", err)
	}
	return nil, fmt.Errorf("account: sign in: %w", err)
}

package account

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// App is an application that users sign in to, each with a record of their own in
// one store. It is safe for concurrent use. A program makes one and keeps it.
//
// A user's record is named for the home account ID, "<uid>.<utid>" in lower case,
// which no other user ever has. The application's own record is named for its client
// ID and tenant, "<client ID>.<tenant>".
type App struct {
	store  *core.Store
	client *msal.Client
	config Config
	used   usedStates
}

// NewApp returns the application that cfg describes, with its users' tokens in
// store. It does no I/O.
func NewApp(store *core.Store, cfg Config) (*App, error) {
	if store == nil {
		return nil, errors.New("account: there is no store")
	}
	cfg, client, err := cfg.completed()
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	if cfg.NoStore {
		store = overlaid(store)
	}
	return &App{store: store, client: client, config: cfg}, nil
}

// Account returns the user with a home account ID, which [Account.User] told after
// the sign-in: a web application keeps it in the user's session. It does no I/O, and
// so doesn't find out whether the user has signed in; TokenSource will.
func (p *App) Account(homeAccountID string) *Account {
	return p.account(tokencache.Account{HomeAccountID: homeAccountID, Environment: p.client.Environment()})
}

func (p *App) account(who tokencache.Account) *Account {
	a := &Account{app: p, key: recordOf(who.HomeAccountID), tenant: p.tenant(), store: p.store}
	a.user.Store(&who)
	return a
}

// Application returns the application itself, which SignInApp signs in. It does no
// I/O: a TokenSource of its signs in by itself when it must.
func (p *App) Application() (*Account, error) {
	if err := isForApplications(p.client, p.config.Scopes); err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	return &Account{app: p, key: p.client.ID() + "." + p.client.Tenant(), itself: true, tenant: p.client.Tenant(), store: p.store}, nil
}

// Accounts returns the users who have signed in, from the records that are named
// for one. It reads each of them. A record that can't be read comes with its error,
// and the sequence goes on; it ends after the first error of the store's listing.
// Where the backend is no [core.Lister], that is an error of its own.
func (p *App) Accounts(ctx context.Context) iter.Seq2[*Account, error] {
	return func(yield func(*Account, error) bool) {
		for key, err := range p.store.Keys(ctx) {
			if err != nil {
				yield(nil, err)
				return
			}
			who, found, err := p.ownerOf(ctx, key)
			if err == nil && !found {
				continue
			}
			if err != nil {
				if !yield(nil, err) {
					return
				}
				continue
			}
			if !yield(p.account(who), nil) {
				return
			}
		}
	}
}

// ownerOf returns the user whom a record is named for, if it is.
func (p *App) ownerOf(ctx context.Context, key string) (tokencache.Account, bool, error) {
	c, _, err := p.store.Load(ctx, key)
	if errors.Is(err, core.ErrNotFound) { // signed out meanwhile
		return tokencache.Account{}, false, nil
	}
	if err != nil {
		return tokencache.Account{}, false, fmt.Errorf("account: %w", err)
	}
	who, found := c.Account(tokencache.Query{HomeAccountID: key, ClientID: p.client.ID(), Environment: p.client.Environment(), Tenant: p.tenant()})
	if !found {
		who, found = c.Account(tokencache.Query{HomeAccountID: key, ClientID: p.client.ID(), Environment: p.client.Environment()})
	}
	return who, found, nil
}

// Usernames returns the names of the users who have signed in: those of Accounts.
func (p *App) Usernames(ctx context.Context) ([]string, error) {
	var names []string
	var failed error
	for a, err := range p.Accounts(ctx) {
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		names = append(names, a.User().Username)
	}
	return names, failed
}

// User returns the one user of Accounts with a name, in any letter case. It says
// core.ErrNotFound where there is none, and core.ErrAmbiguous where there are
// several: names change, and come back. It reads records until all are read, so that a
// service keeps the home account ID and calls Account instead.
func (p *App) User(ctx context.Context, name string) (*Account, error) {
	var one *Account
	var failed error
	for a, err := range p.Accounts(ctx) {
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case !strings.EqualFold(a.User().Username, name):
		case one != nil:
			return nil, fmt.Errorf("account: %w: two have the name %s", core.ErrAmbiguous, core.Printable(name))
		default:
			one = a
		}
	}
	switch {
	case one != nil:
		return one, nil
	case failed != nil:
		return nil, failed
	}
	return nil, fmt.Errorf("account: %w of %s", core.ErrNotFound, core.Printable(name))
}

// SignOutAll signs every user of Accounts out. One who can't be signed out doesn't
// keep the others: the errors come together.
func (p *App) SignOutAll(ctx context.Context) error {
	var failed error
	for a, err := range p.Accounts(ctx) {
		if err == nil {
			err = a.SignOut(ctx)
		}
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// AuthURL returns the address at which a user signs in, and the flow that SignIn
// needs when the user comes back.
func (p *App) AuthURL(ctx context.Context, o AuthOptions) (address string, flow Flow, err error) {
	return p.begin(ctx, nil, o)
}

// SignIn finishes what AuthURL began, and returns the user who has signed in.
// redirect is the address that the browser was sent back to, or its query alone, or
// what a form posted, in the form of a query. The user's tokens are then in the
// record that is named for the user.
//
// Nothing is stored unless all fits: the state, the redirect's address and the issuer
// that the redirect may name; the id token's issuer, audience and nonce; and, where
// somebody was meant, who it was. See ErrStateMismatch, ErrFlowExpired, ErrFlowUsed,
// ErrOtherIssuer and ErrOtherUser.
//
// The provider's refusal is an [*msal.Error]. A code is good for one SignIn: after an
// error that came later than the redirect's own, the sign-in begins anew. But with
// core.ErrRefreshedNotSaved the user is signed in, and returned: the store keeps the
// tokens, hands them out, and saves them as soon as it can (see core.Store.Flush).
//
// Once the code is sent, SignIn no longer depends on ctx: a user who presses Ctrl-C
// or closes the page then is signed in all the same.
func (p *App) SignIn(ctx context.Context, flow Flow, redirect string) (*Account, error) {
	return p.signIn(ctx, nil, flow, redirect)
}

// Authenticate is a whole sign-in, which prompt leads the user through. It returns
// the user who has signed in. See SignIn about its errors.
func (p *App) Authenticate(ctx context.Context, prompt Prompt, o AuthOptions) (*Account, error) {
	return p.authenticate(ctx, nil, prompt, o)
}

// SignInApp signs the application itself in (the client credentials grant), and
// returns it. It always asks the provider, and so finds out at once what is wrong
// with the credential; see Application for what needs no more than the store. With
// core.ErrRefreshedNotSaved the application is signed in, and the store keeps its token.
func (p *App) SignInApp(ctx context.Context) (*Account, error) {
	a, err := p.Application()
	if err != nil {
		return nil, err
	}
	return a.signedIn(a.signInApp(ctx))
}

// OnBehalfOf signs the user in whose access token an API was sent (the on-behalf-of
// grant): assertion is that token, which must be for this application. The user's
// tokens for the Config's scopes are then in the user's record.
//
// Each call asks the provider, since nobody else can tell whether the assertion is
// good. A service that checks its callers' tokens itself uses Account for the user's
// later requests.
func (p *App) OnBehalfOf(ctx context.Context, assertion tokencache.Secret) (*Account, error) {
	return p.onBehalfOf(ctx, assertion)
}

// DeviceCode signs a user in who has a browser on another device. show tells the
// user the code and where to enter it, and must not wait; DeviceCode then waits until
// the user has done so, or has declined, or the code expires, or ctx is done.
func (p *App) DeviceCode(ctx context.Context, show func(DeviceCode) error) (*Account, error) {
	return p.deviceCode(ctx, nil, AuthOptions{}, show)
}

// Password signs a user in by name and password (RFC 6749 section 4.3).
//
// Don't use it where anything else is possible. The program sees the password. It
// works for no account with a second factor, none that signs in elsewhere, and no
// personal one, and OAuth 2.1 leaves it out. Microsoft's own words:
// https://learn.microsoft.com/entra/identity-platform/v2-oauth-ropc
func (p *App) Password(ctx context.Context, username string, password tokencache.Secret) (*Account, error) {
	return p.password(ctx, nil, AuthOptions{}, username, password)
}

// tenant is the tenant whose tokens are meant, and "" where the authority names
// none: its tenant is then a word for whichever is the user's own.
func (p *App) tenant() string {
	if tenant := p.client.Tenant(); !isShared(tenant) {
		return tenant
	}
	return ""
}

// recordOf is the key of a user's record. MSALs compare home account IDs without
// regard to letter case.
func recordOf(homeAccountID string) string { return strings.ToLower(homeAccountID) }

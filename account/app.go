package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// App is an application that users sign in to. Each user has a record of their own in one
// store. An App is safe for concurrent use; a program makes one and keeps it.
//
// The key of a user's record is the home account ID, "<uid>.<utid>", which no other user
// ever has. The key of the application's own record is "<client ID>.<tenant>". Both are in
// lower case.
type App struct {
	store  *core.Store
	client *msal.Client
	config Config

	callers expiring[tokencache.Account] // users, by the digest of the assertions they came with
}

// NewApp returns the application that cfg describes, with its users' tokens in store. It
// does no I/O: its errors are about the store (nil) and the Config.
func NewApp(store *core.Store, cfg Config) (*App, error) {
	if store == nil {
		return nil, errors.New("account: the store is nil")
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

// Account returns the user with a home account ID. [Account.User] tells that ID after the
// sign-in, and a web application keeps it in the user's session. Account does no I/O, so
// it doesn't find out whether the user has signed in: if not, TokenSource's error is
// core.ErrReauthRequired. The error is the same for "", the ID in a session before a
// sign-in.
func (p *App) Account(homeAccountID string) *Account {
	return p.account(tokencache.Account{HomeAccountID: cmp.Or(homeAccountID, nobody), Environment: p.client.Environment()})
}

// nobody is in place of a home account ID, and of a key, where there is no user.
const nobody = "nobody"

func (p *App) account(who tokencache.Account) *Account {
	a := &Account{app: p, key: recordOf(who.HomeAccountID), tenant: p.tenant(), store: p.store, meant: tokencache.Account{HomeAccountID: who.HomeAccountID}}
	a.user.Store(&who)
	return a
}

// Application returns the application itself, which SignInApp signs in. It does no I/O.
// Its TokenSource signs the application in when that is necessary.
func (p *App) Application() (*Account, error) {
	if err := isForApplications(p.client, p.config.Scopes); err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	return &Account{app: p, key: recordOf(p.client.ID() + "." + p.client.Tenant()), itself: true, tenant: p.client.Tenant(), store: p.store}, nil
}

// Accounts returns the users who have signed in. It reads each record whose key is a home
// account ID. A record that can't be read comes with its error, and the sequence goes on.
// If the store can't be listed, the sequence ends after that error. A backend that is no
// [core.Lister] is an error too.
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

// ownerOf returns the user to whom a record belongs, if its key is a home account ID.
func (p *App) ownerOf(ctx context.Context, key string) (tokencache.Account, bool, error) {
	c, _, err := p.store.Load(ctx, key)
	if errors.Is(err, core.ErrNotFound) { // the user has signed out meanwhile
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

// Usernames returns the names of the users of Accounts.
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

// User returns the user of Accounts with a name, in any letter case. It returns
// core.ErrNotFound if there is none, and core.ErrAmbiguous if there are several: names
// change, and a later user may get a former user's name. It has to read all records, so a
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

// SignOutAll signs out every user of Accounts. If one can't be signed out, the others
// still are; the errors are joined.
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

// AuthURL returns the address at which a user signs in, and the flow that SignIn needs
// when the user comes back.
func (p *App) AuthURL(ctx context.Context, o AuthOptions) (address string, flow Flow, err error) {
	return p.begin(ctx, nil, o)
}

// SignIn finishes the sign-in that AuthURL began, and returns the user. redirect is the
// address to which the browser was sent back, or its query alone, or the fields of a
// posted form, written as a query. The user's tokens are then in the user's record.
//
// Nothing is stored unless everything fits: the state; the redirect's address, and the
// issuer if the redirect names one; the ID token's issuer, audience and nonce; and the
// user, if one was meant. See ErrStateMismatch, ErrFlowExpired, ErrFlowUsed,
// ErrOtherIssuer and ErrOtherUser.
//
// A refusal by the provider is an [*msal.Error]. A code can be redeemed once. So after an
// error that isn't about the redirect itself, the sign-in has to begin again. There is
// one exception: with core.ErrRefreshedNotSaved the user is signed in and returned. The
// store keeps the tokens and uses them. Later calls for a token, or core.Store.Flush, save
// them.
//
// Once the code is sent, SignIn no longer depends on ctx: a user who then presses Ctrl-C
// or closes the page is signed in all the same.
func (p *App) SignIn(ctx context.Context, flow Flow, redirect string) (*Account, error) {
	return p.signIn(ctx, nil, flow, redirect)
}

// Authenticate is a whole sign-in; prompt leads the user through it. It returns the user
// who signed in. SignIn describes the errors.
func (p *App) Authenticate(ctx context.Context, prompt Prompt, o AuthOptions) (*Account, error) {
	return p.authenticate(ctx, nil, prompt, o)
}

// SignInApp signs the application itself in (the client credentials grant), and returns
// it. It always asks the provider, so that a wrong credential is found at once.
// Application is enough if the store has a token. With core.ErrRefreshedNotSaved the
// application is signed in, and the store keeps its token.
func (p *App) SignInApp(ctx context.Context) (*Account, error) {
	a, err := p.Application()
	if err != nil {
		return nil, err
	}
	return a.signedIn(a.signInApp(ctx))
}

// OnBehalfOf signs in the user whose access token was sent to an API (the on-behalf-of
// grant). assertion is that token, which must have been issued for this application. The
// user's tokens for the Config's scopes are then in the user's record.
//
// The provider checks an assertion, and is asked once for each. Until the assertion
// expires, later calls with the same one return the same user, as in MSAL, as long as the
// user's record has a token or can be refreshed.
func (p *App) OnBehalfOf(ctx context.Context, assertion tokencache.Secret) (*Account, error) {
	return p.onBehalfOf(ctx, assertion)
}

// DeviceCode signs in a user who has a browser on another device. show tells the user the
// code and where to enter it, and must not wait. DeviceCode then waits until the user has
// entered the code or declined, until the code expires, or until ctx is done.
func (p *App) DeviceCode(ctx context.Context, show func(DeviceCode) error) (*Account, error) {
	return p.deviceCode(ctx, nil, AuthOptions{}, show)
}

// Password signs a user in by name and password (RFC 6749 section 4.3).
//
// Don't use it if anything else is possible. The program sees the password. It works
// neither for accounts with a second factor, nor for those that sign in at another
// provider, nor for personal ones, and OAuth 2.1 has removed it. Microsoft advises
// against it, too: https://learn.microsoft.com/entra/identity-platform/v2-oauth-ropc
func (p *App) Password(ctx context.Context, username string, password tokencache.Secret) (*Account, error) {
	return p.password(ctx, nil, AuthOptions{}, username, password)
}

// tenant is the tenant whose tokens are meant. It is "" if the authority names none: its
// tenant is then a word for the user's own.
func (p *App) tenant() string {
	if tenant := p.client.Tenant(); !isShared(tenant) {
		return tenant
	}
	return ""
}

// recordOf returns the key of the record of a user, or of the application. Letter case
// makes no other home account ID, as in MSALs, no other client ID and no other tenant.
func recordOf(id string) string { return strings.ToLower(id) }

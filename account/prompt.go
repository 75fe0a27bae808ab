package account

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Prompt leads a user through a sign-in: it shows an address or a code, and calls
// one of the Attempt's methods that finish it. Its error ends the sign-in.
type Prompt interface {
	SignIn(ctx context.Context, t *Attempt) error
}

// Attempt is one sign-in under way, as a Prompt sees it. It is used by one goroutine.
type Attempt struct {
	// Options are those that Authenticate was called with. A Prompt may change them
	// before it calls AuthURL or DeviceCode: RedirectURL and FormPost, for one that
	// listens itself.
	Options AuthOptions

	app  *App
	into *Account // nil: the record of whoever signs in
	done *Account // who has signed in
}

// AuthURL is [App.AuthURL] with the Options.
func (t *Attempt) AuthURL(ctx context.Context) (address string, flow Flow, err error) {
	return t.app.begin(ctx, t.into, t.Options)
}

// SignIn is [App.SignIn]. Where the redirect is not the flow's own (ErrStateMismatch),
// a Prompt may go on waiting for the right one.
func (t *Attempt) SignIn(ctx context.Context, flow Flow, redirect string) error {
	return t.finish(t.app.signIn(ctx, t.into, flow, redirect))
}

// DeviceCode is [App.DeviceCode] with the Options.
func (t *Attempt) DeviceCode(ctx context.Context, show func(DeviceCode) error) error {
	return t.finish(t.app.deviceCode(ctx, t.into, t.Options, show))
}

// Password is [App.Password] with the Options.
func (t *Attempt) Password(ctx context.Context, username string, password tokencache.Secret) error {
	return t.finish(t.app.password(ctx, t.into, t.Options, username, password))
}

func (t *Attempt) finish(a *Account, err error) error {
	if a != nil {
		t.done = a
	}
	return err
}

func (p *App) authenticate(ctx context.Context, into *Account, prompt Prompt, o AuthOptions) (*Account, error) {
	if prompt == nil {
		return nil, errors.New("account: sign in: there is no prompt to lead the user through it")
	}
	o.Extra = maps.Clone(o.Extra)
	t := &Attempt{Options: o, app: p, into: into}
	err := prompt.SignIn(ctx, t)
	if t.done == nil && err == nil {
		err = fmt.Errorf("account: sign in: the prompt %T ended without one", prompt)
	}
	return t.done, err
}

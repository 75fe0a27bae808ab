package account

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Prompt leads a user through a sign-in: it shows an address or a code, and calls one of
// the Attempt's methods that finish the sign-in. Its error ends the sign-in.
type Prompt interface {
	SignIn(ctx context.Context, t *Attempt) error
}

// Attempt is one sign-in that is under way, for a Prompt. One goroutine uses it.
type Attempt struct {
	// Options are the options of Authenticate. A Prompt may change them before it calls
	// AuthURL or DeviceCode. A Prompt that listens for the redirect sets RedirectURL and
	// FormPost.
	Options AuthOptions

	app  *App
	into *Account // nil: the record of the user who signs in
	done *Account // the user who has signed in
}

// AuthURL is [App.AuthURL] with the Options.
func (t *Attempt) AuthURL(ctx context.Context) (address string, flow Flow, err error) {
	return t.app.begin(ctx, t.into, t.Options)
}

// SignIn is [App.SignIn]. If the redirect doesn't belong to the flow (ErrStateMismatch),
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
		return nil, errors.New("account: sign in: Authenticate needs a Prompt")
	}
	o.Extra = maps.Clone(o.Extra)
	t := &Attempt{Options: o, app: p, into: into}
	err := prompt.SignIn(ctx, t)
	if t.done == nil && err == nil {
		err = fmt.Errorf("account: sign in: the prompt %T returned without a sign-in", prompt)
	}
	return t.done, err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

type tokenCommand struct{}

func (tokenCommand) Run(ctx context.Context, s *session, c *console) error {
	return s.obtain(ctx, c, func(ts *core.TokenSource) (tokencache.AccessToken, error) { return ts.Token(ctx) },
		func(token tokencache.AccessToken) error {
			_, err := fmt.Fprintln(c.out, token.Secret.Reveal())
			return err
		})
}

type refreshCommand struct{}

func (refreshCommand) Run(ctx context.Context, s *session, c *console) error {
	return s.obtain(ctx, c, func(ts *core.TokenSource) (tokencache.AccessToken, error) { return ts.Refresh(ctx) },
		func(token tokencache.AccessToken) error {
			c.say("Refreshed: valid until %s.", token.ExpiresOn.Local().Format(time.DateTime))
			return nil
		})
}

// obtain gets an access token for the account meant, and shows it. One that
// could not be saved is good all the same: it is shown, and the error goes on
// saying so.
func (s *session) obtain(ctx context.Context, c *console, get func(*core.TokenSource) (tokencache.AccessToken, error), show func(tokencache.AccessToken) error) (err error) {
	o, err := s.open(c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	a, err := o.account(ctx)
	if err != nil {
		return err
	}
	token, err := get(a.TokenSource())
	if token.Secret == "" {
		return o.blame(ctx, err)
	}
	if failed := show(token); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

// blame tells a user who was never there from one who must sign in again.
func (o *opened) blame(ctx context.Context, err error) error {
	if o.User == "" || !errors.Is(err, core.ErrReauthRequired) {
		return err
	}
	c, _, failed := o.store.Load(ctx, o.key)
	if failed != nil || len(c.Accounts()) == 0 {
		return err
	}
	if _, there := c.Account(tokencache.Query{Username: o.User}); there {
		return err
	}
	return o.nobody(c)
}

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

func (tokenCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	o, err := s.open(c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	a, err := o.account(ctx)
	if err != nil {
		return err
	}
	token, err := a.TokenSource().Token(ctx)
	if token.Secret == "" {
		return o.blame(ctx, err)
	}
	// One that could not be saved is good all the same; err goes on saying so.
	if _, failed := fmt.Fprintln(c.out, token.Secret.Reveal()); failed != nil {
		return errors.Join(err, failed)
	}
	return err
}

type refreshCommand struct{}

func (refreshCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	o, err := s.open(c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	a, err := o.account(ctx)
	if err != nil {
		return err
	}
	token, err := a.TokenSource().Refresh(ctx)
	if token.Secret == "" {
		return o.blame(ctx, err)
	}
	c.say("Refreshed: valid until %s.", token.ExpiresOn.Local().Format(time.DateTime))
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

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

type tokenCommand struct{}

func (tokenCommand) Run(ctx context.Context, s *session, c *console) error {
	return s.obtain(ctx, c, false, func(ts *core.TokenSource) (tokencache.AccessToken, error) { return ts.Token(ctx) },
		func(token tokencache.AccessToken) error { return c.reveal(token.Secret) })
}

// reveal prints a token. It goes into headers and commands unchanged, so a line break in
// it would begin another header. RFC 6749, appendix A.12, lists the characters of a
// token.
func (c *console) reveal(token tokencache.Secret) error {
	if strings.ContainsFunc(token.Reveal(), func(r rune) bool { return r < ' ' || r > '~' }) {
		return errMalformedToken
	}
	_, err := fmt.Fprintln(c.out, token.Reveal())
	return err
}

// errMalformedToken is an error of the record. A provider's answer with such a token is
// refused before it is stored.
var errMalformedToken = errors.New("the stored access token has characters that no token has (RFC 6749 appendix A.12), and is not printed")

type refreshCommand struct{}

func (refreshCommand) Run(ctx context.Context, s *session, c *console) error {
	return s.obtain(ctx, c, true, func(ts *core.TokenSource) (tokencache.AccessToken, error) { return ts.Refresh(ctx) },
		func(token tokencache.AccessToken) error {
			c.say("Refreshed: valid until %s.", token.ExpiresOn.Local().Format(time.DateTime))
			return nil
		})
}

// obtain gets an access token for the account, and shows it. A token that could not be
// saved is good all the same: it is shown, and the error says that it isn't saved. If
// stored is true, the token is wanted in the store alone: if nothing can be saved, the
// provider isn't asked.
func (s *session) obtain(ctx context.Context, c *console, stored bool, get func(*core.TokenSource) (tokencache.AccessToken, error), show func(tokencache.AccessToken) error) (err error) {
	o, err := s.open(c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	a, err := o.account(ctx)
	if err != nil {
		return err
	}
	if stored {
		if err := o.writable(ctx); err != nil {
			return err
		}
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

// blame tells an unknown user from a user who has to sign in again.
func (o *opened) blame(ctx context.Context, err error) error {
	if !errors.Is(err, core.ErrReauthRequired) {
		return err
	}
	q := o.query()
	q.Tenant = "" // a user of one tenant may be refreshed in another
	c, _, failed := o.store.Load(ctx, o.key)
	if failed != nil || q.App || len(c.Accounts()) == 0 || len(fitting(c, q)) > 0 {
		return err
	}
	return nobody(c, q)
}

package main

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/agent"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

type tokenCommand struct {
	Format      string        `env:"-" enum:"text,header,json,xoauth2,env" default:"text" help:"How to print the token: text, header (for curl -H @-), json (as az account get-access-token), xoauth2 (for mail programs) or env."`
	MinValidity time.Duration `env:"-" placeholder:"DURATION" help:"Refresh a token that is valid for less than this, such as 10m."`
	Claims      string        `env:"-" placeholder:"JSON" help:"A claims challenge of the resource, as JSON or in base64."`
}

func (cmd *tokenCommand) Run(ctx context.Context, s *session, c *console) error {
	if cmd.MinValidity < 0 {
		return usageError("--min-validity is not negative, such as 10m")
	}
	claims, err := challenge(cmd.Claims)
	if err != nil {
		return err
	}
	if asked := s.agent(); asked != nil {
		return cmd.askAgent(ctx, s, c, asked, claims)
	}
	var opts []core.TokenOption
	if cmd.MinValidity > 0 {
		opts = append(opts, core.MinValidity(cmd.MinValidity))
	}
	if claims != "" {
		opts = append(opts, core.Claims(claims))
	}
	return s.obtain(ctx, c, false, func(ts *core.TokenSource) (tokencache.AccessToken, error) { return ts.Token(ctx, opts...) },
		func(token tokencache.AccessToken, user string) error {
			return reveal(c.out, agent.TokenOf(&token, user), cmd.Format)
		})
}

type refreshCommand struct{}

func (refreshCommand) Run(ctx context.Context, s *session, c *console) error {
	return s.obtain(ctx, c, true, func(ts *core.TokenSource) (tokencache.AccessToken, error) { return ts.Refresh(ctx) },
		func(token tokencache.AccessToken, _ string) error {
			c.say("Refreshed: valid until %s.", token.ExpiresOn.Local().Format(time.DateTime))
			return nil
		})
}

// obtain gets an access token for the account, and shows it. A token that could not be
// saved is good all the same: it is shown, and the error says that it isn't saved. If
// stored is true, the token is wanted in the store alone: if nothing can be saved, the
// provider isn't asked.
func (s *session) obtain(ctx context.Context, c *console, stored bool, get func(*core.TokenSource) (tokencache.AccessToken, error), show func(token tokencache.AccessToken, user string) error) error {
	return s.withAccount(ctx, c, func(o *opened, a *account.Account) error {
		if stored {
			if err := o.writable(ctx); err != nil {
				return err
			}
		}
		token, err := get(a.TokenSource())
		if token.Secret == "" {
			return o.blame(ctx, err)
		}
		o.keepDefault(ctx)
		return errors.Join(err, show(token, o.holder))
	})
}

// blame tells an unknown user from a user who has to sign in again, and both from an
// application whose secret is missing.
func (o *opened) blame(ctx context.Context, err error) error {
	if lacking := o.lacking.Load(); err != nil && lacking != nil {
		return *lacking // MSAL doesn't wrap the error of an assertion
	}
	if !errors.Is(err, core.ErrReauthRequired) {
		return err
	}
	q := o.query()
	q.Tenant = "" // a user of one tenant may be refreshed in another
	c, failed := o.readable(ctx)
	if failed != nil || q.App || len(fitting(c, q)) > 0 || len(c.Accounts()) == 0 && !c.IsEmpty() {
		return err
	}
	return nobody(c, q)
}

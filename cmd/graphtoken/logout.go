package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

type logoutCommand struct{}

func (logoutCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	o, err := s.open(c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	cache, _, err := o.store.Load(ctx, o.key)
	if err != nil {
		return err
	}
	q := tokencache.Query{Username: s.User, App: s.ClientCredentials || s.User == "" && len(cache.Accounts()) == 0}
	if q.App {
		q.ClientID = s.ClientID
	}
	if _, there := cache.AccessToken(q); q.App && !there && !s.ClientCredentials {
		return fmt.Errorf("%w of anybody", core.ErrNotFound)
	}
	if cache.Ambiguous(q) {
		return fmt.Errorf("%w: %s", core.ErrAmbiguous, strings.Join(usernames(cache), ", "))
	}
	who, _ := cache.Account(q)
	if err := account.SignOut(ctx, o.store, o.key, q); err != nil {
		return err
	}
	c.say("Signed out: %s.", cmp.Or(who.Username, s.User, "the application"))
	return nil
}

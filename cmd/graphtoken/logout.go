package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

type logoutCommand struct {
	All bool `env:"-" help:"All users of the record, and the application: the record is deleted."`
}

func (cmd *logoutCommand) Run(ctx context.Context, s *session, c *console) error {
	err := s.withRecord(ctx, c, func(o *opened, cache *tokencache.Cache) error { return cmd.signOut(ctx, o, cache, c) })
	if errors.Is(err, core.ErrNotFound) {
		return &logoutError{err}
	}
	return err
}

// logoutError says that the user whom a logout means isn't signed in.
type logoutError struct{ err error }

func (e *logoutError) Error() string { return e.err.Error() }

func (e *logoutError) Unwrap() error { return e.err }

// advice implements advisor.
func (e *logoutError) advice() string {
	return "There is nobody to sign out: " + statusShows + " graphtoken list --store STORE shows the records of a store."
}

func (cmd *logoutCommand) signOut(ctx context.Context, o *opened, cache *tokencache.Cache, c *console) (err error) {
	if cmd.All {
		return cmd.everybody(ctx, o, c, cache)
	}
	q := o.named()
	q.App = q.App || o.User == "" && len(cache.Accounts()) == 0
	if _, there := cache.AccessToken(q); q.App && !there && !o.ClientCredentials {
		return fmt.Errorf("%w of %s", core.ErrNotFound, whom(q))
	}
	if cache.Ambiguous(q) {
		return ambiguous(cache, q)
	}
	who := "the application"
	if !q.App {
		if q, err = whole(cache, q); err != nil {
			return err
		}
		user, _ := cache.Account(q)
		who = cmp.Or(user.Username, user.HomeAccountID, o.User)
	}
	if err := account.SignOut(ctx, o.store, o.Key, q); err != nil {
		return err
	}
	c.say("Signed out: %s.", who)
	return nil
}

// everybody deletes the record, which could be read.
func (cmd *logoutCommand) everybody(ctx context.Context, o *opened, c *console, cache *tokencache.Cache) error {
	if o.User != "" || o.ClientCredentials || o.given["client-id"] || o.given["tenant"] || o.given["authority"] {
		return usageError("--all means everybody: leave out what names one of them")
	}
	if o.ReadOnly {
		return o.writable(ctx)
	}
	if err := o.store.Delete(ctx, o.Key); err != nil {
		return err
	}
	names := distinct(cache.Accounts(), nameOf)
	if len(names) == 0 {
		names = []string{"the application"}
	}
	c.say("Signed out: %s.", strings.Join(names, ", "))
	return nil
}

// whole returns the query for the one user that q means. A logout removes the user with
// all tokens. So if q names a client or a tenant, the user must have tokens of no other.
func whole(c *tokencache.Cache, q tokencache.Query) (tokencache.Query, error) {
	anyTenant := q
	anyTenant.Tenant = ""
	users := fitting(c, anyTenant)
	if len(users) == 0 || len(fitting(c, q)) == 0 {
		return q, fmt.Errorf("%w of %s", core.ErrNotFound, whom(q))
	}
	if len(fitting(c, q)) < len(users) {
		return q, usageError(fmt.Sprintf("logout removes all of a user's tokens, and %s has some of other tenants: leave --tenant out", nameOf(users[0])))
	}
	its := slices.DeleteFunc(holders(c), func(h holder) bool { return !h.isOneOf(c, users) })
	clients := distinct(its, clientOf)
	switch {
	case q.ClientID == "" || len(clients) == 0:
	case !slices.ContainsFunc(clients, func(id string) bool { return strings.EqualFold(id, q.ClientID) }):
		return q, fmt.Errorf("%w of %s", core.ErrNotFound, whom(q))
	case len(clients) > 1:
		return q, usageError(fmt.Sprintf("logout removes all of a user's tokens, and %s has some of other applications: leave --client-id out", nameOf(users[0])))
	}
	return tokencache.Query{HomeAccountID: users[0].HomeAccountID, Environment: users[0].Environment}, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

type purgeCommand struct {
	Unused int  `env:"-" default:"90" placeholder:"DAYS" help:"Users whose refresh token wasn't used for so many days; Entra's last 90."`
	Delete bool `env:"-" help:"Remove their tokens. Without it, purge shows what it would remove."`
	JSON   bool `name:"json" env:"-" help:"As JSON."`
}

// purged is a user whose tokens are of no use.
type purged struct {
	Record        string `json:"record"`
	Username      string `json:"username,omitempty"`
	HomeAccountID string `json:"home_account_id"`
	Why           string `json:"why"`
	Removed       bool   `json:"removed"`
}

func (cmd *purgeCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	if cmd.Unused < 1 {
		return usageError("--unused is a number of days")
	}
	o, err := s.openAll(ctx, c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	all := []purged{}
	var unread []error
	var keys []string // listed first, because a store may hold a lock while it lists
	for key, err := range o.records(ctx) {
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	there := 0
	for _, key := range keys {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		found, err := cmd.record(ctx, o, key)
		if errors.Is(err, core.ErrNotFound) {
			continue // removed meanwhile
		}
		there++
		all = append(all, found...)
		if err != nil && !ofOneRecord(err) {
			return err
		}
		if err != nil {
			c.say("%v", err)
			unread = append(unread, err)
		}
	}
	if there == 0 {
		return core.ErrNotFound
	}
	if cmd.JSON {
		err = writeJSON(c.out, map[string]any{"store": o.String(), "users": all})
	} else {
		err = cmd.print(c, s, all)
	}
	if err == nil && len(unread) > 0 {
		err = incomplete(unread)
	}
	return err
}

func (cmd *purgeCommand) print(c *console, s *session, all []purged) error {
	for _, p := range all {
		word := "would remove"
		if p.Removed {
			word = "removed"
		}
		if _, err := fmt.Fprintf(c.out, "%s  %s in %s: %s\n", word, printable(nameOf(tokencache.Account{Username: p.Username, HomeAccountID: p.HomeAccountID})), printable(p.Record), p.Why); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		c.say("There is nothing to purge: no user's tokens were found to be of no use.")
	}
	if !cmd.Delete && len(all) > 0 {
		command := "purge --delete"
		if cmd.Unused != 90 {
			command += fmt.Sprintf(" --unused %d", cmd.Unused)
		}
		c.say("Nothing is removed. Remove them with: %s", s.again(command))
	}
	return nil
}

// record finds and removes the users of one record. A record that can't be read is left.
func (cmd *purgeCommand) record(ctx context.Context, o *opened, key string) ([]purged, error) {
	cache, _, err := o.store.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	var found []purged
	seen := make(map[string]bool)
	for _, a := range fitting(cache, o.named()) {
		id := a.HomeAccountID + " " + a.Environment
		why := cmd.useless(cache, a)
		if seen[id] || why == "" {
			continue
		}
		seen[id] = true
		p := purged{Record: redact(key), Username: a.Username, HomeAccountID: a.HomeAccountID, Why: why}
		if cmd.Delete {
			if p.Removed, err = cmd.remove(ctx, o.store, key, a); err != nil {
				return found, err
			}
			if !p.Removed {
				continue // the user has signed in again
			}
		}
		found = append(found, p)
	}
	return found, nil
}

// errInUse ends a removal: the user has signed in again since.
var errInUse = errors.New("the user's tokens are in use")

// remove removes the user, if the tokens are still of no use when the record is saved.
func (cmd *purgeCommand) remove(ctx context.Context, store *core.Store, key string, a tokencache.Account) (bool, error) {
	q := tokencache.Query{HomeAccountID: a.HomeAccountID, Environment: a.Environment}
	isEmpty := false
	err := store.Update(ctx, key, func(c *tokencache.Cache) error {
		if cmd.useless(c, a) == "" || !c.Remove(q) {
			return errInUse
		}
		isEmpty = c.IsEmpty()
		return nil
	})
	if errors.Is(err, errInUse) {
		return false, nil
	}
	if err == nil && isEmpty {
		var c *tokencache.Cache
		if c, _, err = store.Load(ctx, key); err == nil && c.IsEmpty() {
			err = store.Delete(ctx, key)
		}
	}
	return err == nil, err
}

// useless returns why a user's tokens are of no use any more, or "". Tokens whose age
// isn't known count as useful.
func (cmd *purgeCommand) useless(c *tokencache.Cache, a tokencache.Account) string {
	tokens, err := inspect(c)
	if err != nil {
		return ""
	}
	limit := time.Duration(cmd.Unused) * 24 * time.Hour
	refreshes := 0
	var youngest time.Duration
	for _, t := range tokens {
		if t.HomeAccountID != a.HomeAccountID {
			continue
		}
		switch t.Type {
		case "access token":
			if t.ExpiresOn == nil || t.ExpiresOn.After(time.Now()) {
				return ""
			}
		case "refresh token":
			if t.CachedOn == nil {
				return ""
			}
			if age := time.Since(*t.CachedOn); refreshes == 0 || age < youngest {
				youngest = age
			}
			refreshes++
		}
	}
	switch {
	case refreshes == 0:
		return "there is no refresh token, and the access tokens have expired"
	case youngest < limit:
		return ""
	case youngest >= account.RefreshTokenLifetime:
		return fmt.Sprintf("the refresh token wasn't used for %d days, and no longer works", days(youngest))
	}
	return fmt.Sprintf("the refresh token wasn't used for %d days", days(youngest))
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The scopes of a user's sign-in are remembered in the record, as a field of the user's
// account: token without --scope asks for them, whatever other tokens the user has since.
// Libraries keep fields of an entry that they don't know, and a sign-out removes the entry.
const rememberedField = "graphtoken_scopes_" // the client ID follows

// remembered returns the scopes of the user's sign-in at a client, or nil.
func remembered(c *tokencache.Cache, user tokencache.Account, client string) []string {
	var scopes []string
	_ = eachAccount(c.Clone(), user, func(fields map[string]json.RawMessage) {
		var text string
		if json.Unmarshal(fields[rememberedField+client], &text) == nil && text != "" {
			scopes = tokencache.SplitScopes(text)
		}
	})
	return scopes
}

// remember makes these the scopes of the user's sign-in; none are forgotten ones.
func remember(ctx context.Context, store *core.Store, key string, user tokencache.Account, client string, scopes []string) error {
	return store.Update(ctx, key, func(c *tokencache.Cache) error {
		return eachAccount(c, user, func(fields map[string]json.RawMessage) {
			if len(scopes) == 0 {
				delete(fields, rememberedField+client)
				return
			}
			text, _ := json.Marshal(strings.Join(scopes, " ")) // a string can be marshalled
			fields[rememberedField+client] = text
		})
	})
}

// eachAccount calls edit with the fields of each of the user's accounts: a guest has one
// for each tenant. The changes that edit makes are then in c.
func eachAccount(c *tokencache.Cache, user tokencache.Account, edit func(fields map[string]json.RawMessage)) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	var sections map[string]json.RawMessage
	var accounts map[string]map[string]json.RawMessage
	if err := json.Unmarshal(data, &sections); err != nil {
		return err
	}
	if err := json.Unmarshal(sections["Account"], &accounts); err != nil || user.HomeAccountID == "" {
		return errors.New("the record has no accounts to remember scopes with")
	}
	for _, fields := range accounts {
		var id, environment string
		_, _ = json.Unmarshal(fields["home_account_id"], &id), json.Unmarshal(fields["environment"], &environment)
		if id == user.HomeAccountID && environment == user.Environment {
			edit(fields)
		}
	}
	if sections["Account"], err = json.Marshal(accounts); err != nil {
		return err
	}
	if data, err = json.Marshal(sections); err != nil {
		return err
	}
	changed, err := tokencache.Parse(data)
	if err == nil {
		c.Replace(changed)
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// storedRecords looks at the stored records, and asks no provider.
func (d *checkup) storedRecords(ctx context.Context) (all []finding) {
	opts, err := d.encryption(ctx)
	if err != nil {
		return nil // keys has told
	}
	backend := &measured{TokenBackend: d.Backend}
	store := core.NewStore(backend, opts...)
	n, failed := 0, false
	for key, err := range d.place.records(ctx) {
		if err != nil {
			all = append(all, bad("Give this user the right to list records, or name one by #NAME.", "they can't be listed: %v", err))
			failed = true
			break
		}
		cache, _, err := store.Load(ctx, key)
		all = append(all, d.nearLimit(printable(key), backend.size)...)
		switch {
		case err == nil:
			n++
			d.noteProviders(cache)
			all = append(all, d.refreshTokens(key, cache)...)
		case !errors.Is(err, core.ErrNotFound):
			all = append(all, unreadable(err).of("record "+printable(key)))
			failed = true
		}
	}
	d.allRead = !failed
	if failed && n == 0 {
		return all
	}
	return append(all, good("%d can be read", n))
}

// measured is a backend that tells the size of the record that was loaded last, as it is
// stored; 0 if that record could not be loaded.
type measured struct {
	core.TokenBackend
	size int64
}

func (m *measured) Load(ctx context.Context, key string) (core.Record, error) {
	rec, err := m.TokenBackend.Load(ctx, key)
	m.size = int64(len(rec.Data))
	return rec, err
}

func unreadable(err error) finding {
	advice := "Give this user the right to read it."
	switch {
	case errors.Is(err, core.ErrLegacyToken):
		advice = "Take it into another store with graphtoken import, or sign in again with graphtoken login."
	case errors.Is(err, core.ErrDecrypt):
		advice = "Name its key with --key-file or GRAPHTOKEN_KEYS; --plaintext-reads accepts a record that isn't encrypted yet."
	case errors.Is(err, core.ErrCorrupt):
		advice = "If it is encrypted, name its key with --key-file. If not, restore it, or move it away and sign in again."
	}
	return bad(advice, "%v", err)
}

// command is a command line about a user in a record of the store.
func (d *checkup) command(name, user, key string) string {
	s, at := *d.session, d.place.of(key)
	s.User, s.at, s.given = user, &at, map[string]bool{}
	maps.Copy(s.given, d.given)
	s.given["user"] = true
	s.given["store"] = d.given["store"] || d.isArgument || d.Key == "" // whose records are many
	return printable(s.again(name))
}

// nearEnd is the age from which an unused refresh token needs attention.
const nearEnd = account.RefreshTokenLifetime * 2 / 3

// refreshTokens finds refresh tokens near their end, and users without one.
func (d *checkup) refreshTokens(key string, cache *tokencache.Cache) (all []finding) {
	tokens, err := inspect(cache)
	if err != nil {
		return nil
	}
	for _, f := range d.ages(key, tokens) {
		all = append(all, f.of("refresh token"))
	}
	return all
}

// ages judges by https://learn.microsoft.com/entra/identity-platform/refresh-tokens#token-lifetime
func (d *checkup) ages(key string, tokens []inspected) (all []finding) {
	isRefresh := func(t inspected) bool { return t.Type == "refresh token" }
	for _, t := range tokens {
		who := fmt.Sprintf("%s in %s", printable(t.Username), printable(key))
		switch {
		case isRefresh(t) && t.CachedOn != nil && d.now.Sub(*t.CachedOn) >= account.RefreshTokenLifetime:
			all = append(all, bad("Sign in again: "+d.command("login", t.Username, key), "that of %s wasn't used for %d days, and no longer works", who, days(d.now.Sub(*t.CachedOn))))
		case isRefresh(t) && t.CachedOn != nil && d.now.Sub(*t.CachedOn) >= nearEnd:
			all = append(all, risky("Run graphtoken keepalive every day, or: "+d.command("refresh", t.Username, key), "that of %s wasn't used for %d days, and ends after %d", who, days(d.now.Sub(*t.CachedOn)), days(account.RefreshTokenLifetime)))
		case t.Type == "access token" && t.HomeAccountID != "" && t.ExpiresOn != nil && t.ExpiresOn.Before(d.now) &&
			!slices.ContainsFunc(tokens, func(o inspected) bool { return isRefresh(o) && o.HomeAccountID == t.HomeAccountID }):
			all = append(all, bad("Sign in again: "+d.command("login", t.Username, key), "%s has none, and the access token has expired", who))
		}
	}
	return all
}

func days(d time.Duration) int { return int(d.Hours() / 24) }

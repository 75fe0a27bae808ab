package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The lifetimes of refresh tokens that are not used. RefreshTokenLifetime is that of
// every application but a single-page one.
// https://learn.microsoft.com/entra/identity-platform/refresh-tokens#token-lifetime
const (
	RefreshTokenLifetime = 90 * 24 * time.Hour
	// SPARefreshTokenLifetime is the lifetime in a single-page application. It counts
	// from the sign-in: a renewed token has the rest of it.
	SPARefreshTokenLifetime = 24 * time.Hour
)

// KeepAliveOptions changes a run of KeepAlive. The zero value works.
type KeepAliveOptions struct {
	// Lifetime is the lifetime of a refresh token that isn't used, by default
	// RefreshTokenLifetime. A token that is older than half of it is renewed, so that a
	// program that runs KeepAlive every day has many days to try again.
	Lifetime time.Duration
	// PerSecond limits the requests to the provider, by default to 5.
	PerSecond float64
	// Keys are the records to look at, by default all records of the store.
	Keys []string
	// Tell, if it is set, is called for each user whose tokens were renewed (then Err is
	// nil) or could not be renewed, as soon as that is known. The run goes on when Tell
	// returns.
	Tell func(KeepAliveUser)
}

// KeepAliveReport is the result of a run of KeepAlive.
type KeepAliveReport struct {
	Renewed int             // users whose refresh token was renewed
	Fresh   int             // users whose refresh token is young enough
	SignIn  []KeepAliveUser // users who must sign in again
	Failed  []KeepAliveUser // other failures, which the next run tries again; a record that can't be read has no user here
}

// KeepAliveUser is a user whose refresh token could not be renewed, or, for
// KeepAliveOptions.Tell, was renewed.
type KeepAliveUser struct {
	Key     string // of the record
	Account tokencache.Account
	Err     error // nil: the tokens were renewed

	// ExpiresOn is the time at which the new access token expires, if Err is nil.
	ExpiresOn time.Time
	// Ends is the time at which the refresh token ends if it isn't renewed before. It is
	// zero if that isn't known, or if the token no longer works.
	Ends time.Time
}

// Format prints the report in words, whatever the verb.
func (r KeepAliveReport) Format(s fmt.State, _ rune) {
	_, _ = fmt.Fprintf(s, "%d refresh tokens renewed, %d young enough, %d users must sign in again, %d failures", r.Renewed, r.Fresh, len(r.SignIn), len(r.Failed))
}

// String prints the user and the result.
func (u KeepAliveUser) String() string {
	text := "renewed"
	if u.Err != nil {
		text = u.Err.Error()
	}
	return core.Printable(cmp.Or(u.Account.Username, u.Account.HomeAccountID, u.Key)) + ": " + text
}

// Format prints String, whatever the verb.
func (u KeepAliveUser) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, u.String()) }

// KeepAlive renews the refresh tokens of the application's users that would expire
// unused. It goes through all records of the store, one at a time. A program runs it
// every day, or every hour for a single-page application. Several processes may run it,
// because each looks at a record right before it renews.
//
// The error is ctx's, the store's if it can't list its records, or that of a Config with
// NoStore. A user's failure is in
// the report.
func (p *App) KeepAlive(ctx context.Context, o KeepAliveOptions) (KeepAliveReport, error) {
	if p.config.NoStore {
		return KeepAliveReport{}, errors.New("account: keep alive: Config.NoStore would lose the tokens that are renewed")
	}
	r := keepAlive{app: p, tell: o.Tell, lifetime: cmp.Or(max(o.Lifetime, 0), RefreshTokenLifetime), pause: pauseFor(o.PerSecond)}
	for key, err := range p.keys(ctx, o.Keys) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = r.record(ctx, key)
		}
		if err != nil {
			return r.report, fmt.Errorf("account: keep alive: %w", err)
		}
	}
	return r.report, nil
}

func (p *App) keys(ctx context.Context, named []string) iter.Seq2[string, error] {
	if named == nil {
		return p.store.Keys(ctx)
	}
	return func(yield func(string, error) bool) {
		for _, key := range named {
			if !yield(key, nil) {
				return
			}
		}
	}
}

const defaultKeepAlivesPerSecond = 5

func pauseFor(perSecond float64) time.Duration {
	if !(perSecond > 0) {
		perSecond = defaultKeepAlivesPerSecond
	}
	return time.Duration(float64(time.Second) / perSecond)
}

// keepAlive is one run.
type keepAlive struct {
	app             *App
	lifetime, pause time.Duration
	tell            func(KeepAliveUser) // nil: nobody is told
	begun           bool                // a request was sent
	report          KeepAliveReport
}

// record renews the tokens of one record that are due. Its error ends the run.
func (r *keepAlive) record(ctx context.Context, key string) error {
	c, _, err := r.app.store.Load(ctx, key)
	switch {
	case errors.Is(err, core.ErrNotFound): // the user has signed out meanwhile
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		r.report.Failed = append(r.report.Failed, KeepAliveUser{Key: key, Err: err})
		return nil
	}
	seen := make(map[string]bool) // a guest has an account for each tenant
	for _, who := range c.Accounts() {
		if id := strings.ToLower(who.HomeAccountID); !seen[id] {
			seen[id] = true
			if err := r.user(ctx, KeepAliveUser{Key: key, Account: who}, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// user renews a user's refresh token if it is due. Its error ends the run.
func (r *keepAlive) user(ctx context.Context, u KeepAliveUser, c *tokencache.Cache) error {
	q := tokencache.Query{HomeAccountID: u.Account.HomeAccountID, ClientID: r.app.client.ID(), Environment: r.app.client.Environment()}
	token, found := c.RefreshToken(q)
	if !found {
		if _, isOurs := c.IDToken(q); isOurs {
			u.Err = fmt.Errorf("%w: there is no refresh token", core.ErrReauthRequired)
			r.note(u)
		}
		return nil // another application's user, or another provider's
	}
	if !token.LastModified.IsZero() && time.Since(token.LastModified) < r.lifetime/2 {
		r.report.Fresh++
		return nil
	}
	if r.begun {
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
	r.begun = true
	return r.renew(ctx, u, q, token)
}

// renew asks the provider, unless another process was quicker. Its error ends the run.
func (r *keepAlive) renew(ctx context.Context, u KeepAliveUser, q tokencache.Query, was tokencache.RefreshToken) error {
	now, _, err := r.app.store.Load(ctx, u.Key)
	if err == nil {
		if is, found := now.RefreshToken(q); !found || is.Secret != was.Secret {
			r.report.Fresh++
			return nil
		}
		var token tokencache.AccessToken
		token, err = r.app.client.TokenSource(r.app.store, u.Key, q).Refresh(ctx)
		u.ExpiresOn = token.ExpiresOn
	}
	if u.Err = err; err != nil && ctx.Err() != nil && !errors.Is(err, core.ErrReauthRequired) {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, core.ErrReauthRequired) && !was.LastModified.IsZero() {
		u.Ends = was.LastModified.Add(r.lifetime)
	}
	r.note(u)
	return nil
}

// note reports a user's result.
func (r *keepAlive) note(u KeepAliveUser) {
	switch {
	case u.Err == nil:
		r.report.Renewed++
	case errors.Is(u.Err, core.ErrReauthRequired):
		r.report.SignIn = append(r.report.SignIn, u)
	default:
		r.report.Failed = append(r.report.Failed, u)
	}
	if r.tell != nil {
		r.tell(u)
	}
}

// wait spreads the requests: the pause, half of it more or less.
func (r *keepAlive) wait(ctx context.Context) error {
	return backend.Sleep(ctx, r.pause/2+rand.N(r.pause+1))
}

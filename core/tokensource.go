package core

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Refresh says what a refresh function is to obtain.
type Refresh struct {
	Query tokencache.Query
	// Force is set when the stored access token was refused or the caller
	// insists: nothing on the way to the provider may answer from a cache.
	Force bool
	// Claims is the claims challenge to pass on to the provider, as JSON.
	Claims string

	lease *leaseClock // nil: nobody leases, or the caller is no Store
}

// LeaseHeld reports whether the record's lease is still held, as far as this
// process can tell without asking the store: false once the lease was not
// renewed for its whole ttl, because the process was frozen (SIGSTOP, a closed
// lid, a paused virtual machine) or the store could not be reached. Another
// process may have spent the refresh token by then, so a RefreshFunc asks right
// before it sends its request, and returns ErrLeaseLost instead of sending.
// Without a lease it reports true.
func (r Refresh) LeaseHeld() bool { return r.lease.held() }

// RefreshFunc trades a stale token cache for a fresh one at the identity
// provider: it leaves the new tokens in c, and says ErrReauthRequired when
// only the user can help (invalid_grant, or no refresh token for the query).
// c is empty where nothing is stored. RefreshFuncs run one at a time per key.
type RefreshFunc func(ctx context.Context, c *tokencache.Cache, r Refresh) error

// TokenSource hands out valid access tokens of one query on one record. It is
// safe for concurrent use and so cheap to make that a web server can make one
// per request: what it knows is kept by the store.
type TokenSource struct {
	store   *Store
	key     string
	query   tokencache.Query
	id      queryID
	refresh RefreshFunc
	cell    atomic.Pointer[cell]
}

// TokenSource returns a source of access tokens that fit q, from the record
// under key, refreshed by f. With a nil f the source only waits for others to
// refresh: once the stored token has expired, it says ErrReauthRequired.
func (s *Store) TokenSource(key string, q tokencache.Query, f RefreshFunc) *TokenSource {
	id := idOf(q, f)
	if f == nil {
		f = func(context.Context, *tokencache.Cache, Refresh) error { return ErrReauthRequired }
	}
	ts := &TokenSource{store: s, key: key, query: q, id: id, refresh: f}
	ts.cell.Store(s.cellOf(key, ts.id))
	return ts
}

// TokenOption changes one call of Token or Refresh. It is an opaque value, so
// that passing one allocates nothing.
type TokenOption struct {
	minValidity time.Duration
	claims      string
	rejected    tokencache.Secret
}

// MinValidity asks for a token that is valid for d at least. A token just
// obtained is accepted whatever its lifetime, and in an outage the unexpired
// token is served all the same.
func MinValidity(d time.Duration) TokenOption { return TokenOption{minValidity: d} }

// Claims asks for a token that answers a claims challenge: the JSON that the
// resource sent in its WWW-Authenticate header, decoded from base64.
// https://learn.microsoft.com/entra/identity-platform/claims-challenge
func Claims(challenge string) TokenOption { return TokenOption{claims: challenge} }

// Rejected says that the resource refused the token s (status 401): any other
// token will do, one that somebody else obtained meanwhile too.
func Rejected(s tokencache.Secret) TokenOption { return TokenOption{rejected: s} }

// Token returns a valid access token. One that is kept in the process costs no
// I/O and no allocation; near its expiry it is still served at once, and
// refreshed behind. Otherwise Token loads the record, and if need be has it
// refreshed, once for all who wait here and in other processes.
//
// While the store or the provider is out of reach, the unexpired token goes on
// serving, and so does a token that could be obtained but not saved. Errors
// are the store's, the refresh function's, among them ErrReauthRequired, and
// ErrAmbiguous when the query names no user and several are signed in. A
// failed refresh is remembered for a second and longer.
func (ts *TokenSource) Token(ctx context.Context, opts ...TokenOption) (tokencache.AccessToken, error) {
	c := ts.copied()
	if c != nil && len(opts) == 0 && ts.store.now().UnixNano() < c.until {
		return c.token, nil
	}
	want := demand{begun: ts.store.obtained.Load()}
	for _, o := range opts {
		want.apply(o)
	}
	return ts.token(ctx, c, want)
}

// Refresh obtains a new token even if the present one is valid, and returns
// it. It says ErrRefreshedNotSaved, and returns the working token with it,
// when the new tokens could not be saved.
func (ts *TokenSource) Refresh(ctx context.Context, opts ...TokenOption) (tokencache.AccessToken, error) {
	want := demand{begun: ts.store.obtained.Load(), force: true}
	for _, o := range opts {
		want.apply(o)
	}
	c := ts.copied()
	if c != nil && want.rejected == "" {
		want.rejected = c.token.Secret
	}
	return ts.token(ctx, c, want)
}

func (ts *TokenSource) copied() *copied {
	if cell := ts.cell.Load(); cell != nil {
		return cell.copy.Load()
	}
	return nil
}

// demand is what a call asks of its token.
type demand struct {
	begun       uint64 // Store.obtained when the call began
	minValidity time.Duration
	claims      string
	rejected    tokencache.Secret
	force       bool // a new token, even if the present one is valid
	fresh       bool // one that is not in its refresh window
}

func (d *demand) apply(o TokenOption) {
	d.minValidity = max(d.minValidity, o.minValidity)
	if o.claims != "" {
		d.claims = o.claims
	}
	if o.rejected != "" {
		d.rejected = o.rejected
	}
}

// allows reports whether a copy may be served at all: in an outage this is
// enough.
func (d *demand) allows(c *copied, now time.Time) bool {
	return now.Before(c.token.ExpiresOn) && c.token.Secret != d.rejected && (d.claims == "" || d.claims == c.claims)
}

// satisfied reports whether an allowed copy is served without waiting for
// another. A validity that no token has is taken from a young one, or every
// call would cost a refresh.
func (d *demand) satisfied(c *copied, now time.Time) bool {
	if d.fresh && !now.Before(c.refreshAt) {
		return false
	}
	left, age, life := c.token.ExpiresOn.Sub(now), now.Sub(c.issued), c.token.ExpiresOn.Sub(c.issued)
	return left >= d.minValidity || d.minValidity >= life && age < life/2 || c.obtained > d.begun
}

func (ts *TokenSource) token(ctx context.Context, c *copied, want demand) (tokencache.AccessToken, error) {
	s := ts.store
	if c == nil { // perhaps another source of the same query has one
		if cell := s.cellOf(ts.key, ts.id); cell != nil {
			ts.cell.Store(cell)
			c = cell.copy.Load()
		}
	}
	now := s.now()
	allowed := c != nil && !want.force && want.allows(c, now)
	if allowed && want.satisfied(c, now) && !isDue(c.staleAt, now) {
		s.tend(ctx, ts, c, now)
		return c.token, nil
	}
	got, err := s.await(ctx, ts, want)
	switch {
	case got != nil:
		ts.cell.Store(s.cellOf(ts.key, ts.id))
		if got.obtained <= want.begun { // or it is new, however short its life
			s.tend(ctx, ts, got, now)
		}
		if !want.force {
			err = nil // not saved; the observer knows, and so will Flush
		}
		return got.token, err
	case allowed && !errors.Is(ctx.Err(), context.Canceled) && s.remembers(ts):
		return c.token, nil // an outage, for all the time there was; a sign-out would have emptied the cell
	}
	return tokencache.AccessToken{}, err
}

func isDue(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

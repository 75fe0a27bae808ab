package core

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
	"unique"

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

	lease *leaseClock // nil: there is no lease that could be lost
}

// LeaseHeld reports whether the record's lease is still held, as far as this
// process can tell without asking the store: false once the lease was not
// renewed for its whole ttl, because the process was frozen (SIGSTOP, a closed
// lid, a paused virtual machine) or the store could not be reached. Another
// process may have spent the refresh token by then, so a RefreshFunc asks right
// before it sends its request, and returns ErrLeaseLost instead of sending. It
// is then called again, under a lease.
//
// It is false, too, where the record has nothing of the query's user: a
// RefreshFunc is called without a lease there, to hear ErrReauthRequired at once.
//
// Where a backend doesn't coordinate, there is no lease to be lost: LeaseHeld
// reports true.
func (r Refresh) LeaseHeld() bool { return r.lease.held() }

// RefreshFunc trades a stale token cache for a fresh one at the identity
// provider: it leaves the new tokens in c, and says ErrReauthRequired when
// only the user can help (invalid_grant, or no refresh token for the query).
// c is empty where nothing is stored. RefreshFuncs run one at a time per key.
//
// Its error is remembered for a second and longer, for those whom it concerns:
// see [FailureScope].
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
	slot    atomic.Pointer[slot]
}

// TokenSource returns a source of access tokens that fit q, from the record
// under key, refreshed by f. With a nil f the source only waits for others to
// refresh: once the stored token has expired, it says ErrReauthRequired.
//
// Scopes that are written as one text ("User.Read Mail.Read") are split.
func (s *Store) TokenSource(key string, q tokencache.Query, f RefreshFunc) *TokenSource {
	q.Scopes = tokencache.SplitScopes(q.Scopes...)
	id := idOf(q, f)
	if f == nil {
		f = func(context.Context, *tokencache.Cache, Refresh) error { return ErrReauthRequired }
	}
	ts := &TokenSource{store: s, key: key, query: q, id: id, refresh: f}
	ts.slot.Store(s.tokens.slotOf(key, &id))
	return ts
}

// TokenOption changes one call of Token or Refresh. It is an opaque value, so
// that passing one allocates nothing.
type TokenOption struct {
	minValidity time.Duration
	claims      string
	rejected    unique.Handle[tokencache.Secret] // and not the token itself, which package fmt would print
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
// token will do, one that somebody else obtained meanwhile too. The refused token
// leaves the record with the next refresh, and no other source of the store serves it.
//
// Where s was obtained, or took the place of a refused token, less than a minute ago, and
// the resource demands no new claims, Token returns s again: the resource refuses
// what the provider gives, and its answer stands.
func Rejected(s tokencache.Secret) TokenOption {
	if s == "" {
		return TokenOption{}
	}
	return TokenOption{rejected: unique.Make(s)}
}

// Token returns a valid access token. One that is kept in the process costs no
// I/O and no allocation; near its expiry it is still served at once, and
// refreshed in the background. Otherwise Token loads the record, and if need be
// has it refreshed, once for all who wait here and in other processes.
//
// While the store or the provider is out of reach, the unexpired token goes on
// serving, and so does a token that could be obtained but not saved. Errors
// are the store's, the refresh function's, among them ErrReauthRequired, and
// ErrAmbiguous when the query fits several users or providers. A
// failed refresh is remembered for a second and longer.
func (ts *TokenSource) Token(ctx context.Context, opts ...TokenOption) (tokencache.AccessToken, error) {
	t, err := ts.Shared(ctx, opts...)
	if t == nil {
		return tokencache.AccessToken{}, err
	}
	return *t, err
}

// Shared is Token without the copy, for adapters that convert the token: it returns the
// same pointer as long as the token is the same. The token is everybody's, and must not be
// changed. With an error it is nil.
func (ts *TokenSource) Shared(ctx context.Context, opts ...TokenOption) (*tokencache.AccessToken, error) {
	t := ts.held()
	if t != nil && len(opts) == 0 && ts.store.now().UnixNano() < t.until {
		return &t.token, nil
	}
	var r requirements
	r.apply(opts)
	t, err := ts.find(ctx, t, &r)
	if t == nil {
		return nil, err
	}
	return &t.token, err
}

// Refresh obtains a new token even if the present one is valid, and returns
// it. It says ErrRefreshedNotSaved, and returns the working token with it,
// when the new tokens could not be saved.
func (ts *TokenSource) Refresh(ctx context.Context, opts ...TokenOption) (tokencache.AccessToken, error) {
	r := requirements{force: true}
	r.apply(opts)
	t := ts.held()
	if t != nil && r.rejected == "" {
		r.rejected = t.token.Secret
	}
	t, err := ts.find(ctx, t, &r)
	if t == nil {
		return tokencache.AccessToken{}, err
	}
	return t.token, err
}

func (ts *TokenSource) held() *heldToken {
	if s := ts.slot.Load(); s != nil {
		return s.token.Load()
	}
	return nil
}

// find returns a token that meets the requirements: t, which is the one in the
// slot, or one that an attempt obtains. With a token, an error says that it could
// not be saved.
func (ts *TokenSource) find(ctx context.Context, t *heldToken, r *requirements) (*heldToken, error) {
	table := &ts.store.tokens
	begun := table.obtained.Load()
	if t == nil { // perhaps another source of the same query has one
		if s := table.slotOf(ts.key, &ts.id); s != nil {
			ts.slot.Store(s)
			t = s.token.Load()
		}
	}
	now := ts.store.now()
	allowed := t != nil && !r.force && r.allow(t, now)
	if allowed && r.met(t, begun, now) && !isDue(t.staleAt, now) || t != nil && r.stands(t, now) {
		table.maintain(ctx, ts, t, now)
		return t, nil
	}
	got, err := table.await(ctx, ts, r, begun)
	switch {
	case got != nil:
		ts.slot.Store(table.slotOf(ts.key, &ts.id))
		if got.obtained <= begun { // or it is new, however short its life
			table.maintain(ctx, ts, got, now)
		}
		if !r.force {
			err = nil // not saved; the observer knows, and so will Flush
		}
		return got, err
	case allowed && !errors.Is(ctx.Err(), context.Canceled) && r.allow(t, ts.store.now()) && table.holds(ts):
		return t, nil // an outage, for all the time there was; a sign-out would have emptied the slot
	}
	return nil, err
}

// maintain does in the background what a token that is served needs: a refresh in
// its window, and another attempt to save it.
func (t *tokenTable) maintain(ctx context.Context, ts *TokenSource, held *heldToken, now time.Time) {
	inWindow := isDue(held.refreshAt, now)
	if !inWindow && !held.unsaved {
		return
	}
	if held.unsaved {
		t.store.saveInBackground(ctx, ts.key)
	}
	unsaved, retryAt := t.store.unsaved.of(ts.key) != nil, t.store.unsaved.retryAt(ts.key)
	shard := t.shardOf(ts.key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	r := shard.records[ts.key]
	if r == nil {
		return
	}
	s := r.slots.get(&ts.id)
	if s == nil || s.token.Load() != held {
		return
	}
	if held.unsaved {
		next := *held
		next.unsaved = unsaved
		next.until = next.servedUntil(retryAt)
		s.token.Store(&next)
	}
	if inWindow && !r.heldOff(s, &held.token, now) {
		t.attempt(ctx, r, ts, &requirements{background: true}, t.obtained.Load())
	}
}

// heldOff reports whether something failed a moment ago that would fail again.
// The shard's mu is held.
func (r *tableRecord) heldOff(s *slot, at *tokencache.AccessToken, now time.Time) bool {
	if f := r.failures; f != nil {
		user := f.users[userID(at.HomeAccountID, at.Environment, at.ClientID)]
		if f.store.active(now) || f.providers[s.id.provider()].active(now) || user.active(now) {
			return true
		}
	}
	return s.failures != nil && s.failures.plain.active(now)
}

// holds reports whether there is still a token for ts: an attempt that found the
// user signed out has emptied the slot.
func (t *tokenTable) holds(ts *TokenSource) bool {
	s := t.slotOf(ts.key, &ts.id)
	return s != nil && s.token.Load() != nil
}

// isDue reports whether a time in Unix nanoseconds has come; zero never comes.
func isDue(at int64, now time.Time) bool { return at != 0 && now.UnixNano() >= at }

package core

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
	"unique"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Refresh says what a refresh function has to obtain.
type Refresh struct {
	Query tokencache.Query
	// Force is set if the stored access token was refused, or the caller wants a new one.
	// The refresh function must then not answer from a cache.
	Force bool
	// Claims is the claims challenge to pass on to the provider, as JSON.
	Claims string

	lease *leaseClock // nil if there is no lease that could be lost
}

// LeaseHeld reports whether the record's lease is still held, as far as this process can
// tell without a request to the store, and lasts long enough for a request to the
// provider. It becomes false if the lease was not renewed for three quarters of its ttl,
// because the process was frozen (SIGSTOP, a closed lid, a paused virtual machine) or the
// store could not be reached. Another process may then send the refresh token. So a
// RefreshFunc asks right before it sends its request, and returns ErrLeaseLost instead of
// sending. It is then called again, under a lease.
//
// LeaseHeld is also false if the record has nothing of the query's user. The RefreshFunc
// is then called without a lease, because it will probably return ErrReauthRequired at
// once.
//
// If the backend doesn't coordinate, there is no lease that could be lost, and LeaseHeld
// is true.
func (r Refresh) LeaseHeld() bool { return r.lease.held() }

// RefreshFunc exchanges the tokens of a cache for fresh ones at the identity provider. It
// leaves the new tokens in c, and returns ErrReauthRequired if the user has to sign in
// again (invalid_grant, or no refresh token for the query). If nothing is stored, c is
// empty. RefreshFuncs of one key run one at a time.
//
// An error is remembered for a second or longer, and stops the refreshes that its
// [FailureScope] names.
type RefreshFunc func(ctx context.Context, c *tokencache.Cache, r Refresh) error

// TokenSource returns valid access tokens of one query on one record. It is safe for
// concurrent use. A web server can make one per request: a TokenSource is small, and its
// tokens are kept by the store.
type TokenSource struct {
	store   *Store
	key     string
	id      queryID
	scopes  []string // those of id, one by one
	refresh RefreshFunc
	slot    atomic.Pointer[slot]
}

// TokenSource returns a source of access tokens that fit q, from the record under key,
// refreshed by f. If f is nil, the source waits for others to refresh, and returns
// ErrReauthRequired once the stored token has expired.
//
// Scopes that are written as one text ("User.Read Mail.Read") are split.
func (s *Store) TokenSource(key string, q tokencache.Query, f RefreshFunc) *TokenSource {
	q.Scopes = tokencache.SplitScopes(q.Scopes...)
	id := idOf(q, f)
	if f == nil {
		f = func(context.Context, *tokencache.Cache, Refresh) error { return ErrReauthRequired }
	}
	ts := &TokenSource{store: s, key: key, id: id, scopes: q.Scopes, refresh: f}
	ts.slot.Store(s.tokens.slotOf(key, &id))
	return ts
}

// query is what the source was made for. Services make many sources, so each keeps the
// query once.
func (ts *TokenSource) query() tokencache.Query {
	id := &ts.id
	return tokencache.Query{Username: id.username, HomeAccountID: id.homeAccountID, ClientID: id.clientID,
		Tenant: id.tenant, Environment: id.environment, Scopes: ts.scopes, App: id.app}
}

// TokenOption changes one call of Token or Refresh. It is an opaque value, so
// that passing one allocates nothing.
type TokenOption struct {
	minValidity time.Duration
	claims      string
	rejected    unique.Handle[tokencache.Secret] // not the token itself, because package fmt would print that
	unstored    bool
}

// MinValidity asks for a token that is valid for at least d. A token that was just
// obtained is accepted whatever its lifetime. In an outage, a token that hasn't expired
// is returned all the same.
func MinValidity(d time.Duration) TokenOption { return TokenOption{minValidity: d} }

// Claims asks for a token that answers a claims challenge: the JSON that the
// resource sent in its WWW-Authenticate header, decoded from base64.
// https://learn.microsoft.com/entra/identity-platform/claims-challenge
func Claims(challenge string) TokenOption { return TokenOption{claims: challenge} }

// Rejected says that the resource refused the token s (status 401). Any other token is
// accepted, also one that another process obtained meanwhile. The next refresh removes
// the refused token from the record, and no other source of the store returns it.
//
// If s was obtained, or replaced a refused token, less than a minute ago, and the
// resource demands no new claims, Token returns s again. The resource then refuses
// whatever the provider issues, and another refresh would not help.
func Rejected(s tokencache.Secret) TokenOption {
	if s == "" {
		return TokenOption{}
	}
	return TokenOption{rejected: unique.Make(s)}
}

// Token returns a valid access token. A token in the process costs no I/O and no
// allocation. Near its expiry it is still returned at once, and refreshed in the
// background. Otherwise Token loads the record and, if necessary, refreshes it, once for
// all waiters in this process and in others.
//
// While the store or the provider can't be reached, Token returns the token that hasn't
// expired, also one that could be obtained but not saved. Its errors are those of the
// store and of the refresh function, among them ErrReauthRequired, and ErrAmbiguous if
// the query fits several users or providers. A failed refresh is remembered for a second
// or longer.
func (ts *TokenSource) Token(ctx context.Context, opts ...TokenOption) (tokencache.AccessToken, error) {
	t, err := ts.Shared(ctx, opts...)
	if t == nil {
		return tokencache.AccessToken{}, err
	}
	return *t, err
}

// Shared is Token without the copy, for adapters that convert the token. It returns the
// same pointer as long as the token is the same. All callers share the token and must not
// change it. With an error, the pointer is nil.
func (ts *TokenSource) Shared(ctx context.Context, opts ...TokenOption) (*tokencache.AccessToken, error) {
	t := ts.held()
	if t != nil && len(opts) == 0 && ts.store.now().UnixNano() < t.until {
		ts.store.observeHit(ctx, ts.key)
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

// Refresh obtains a new token even if the present one is valid. If the new tokens could
// not be saved, it returns ErrRefreshedNotSaved together with the token, which works.
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

// find returns a token that meets the requirements: t, which is in the slot, or one that
// an attempt obtains. An error together with a token says that the token could not be
// saved.
func (ts *TokenSource) find(ctx context.Context, t *heldToken, r *requirements) (*heldToken, error) {
	if r.unstored {
		return ts.findUnstored(ctx, r)
	}
	table := &ts.store.tokens
	begun := table.obtained.Load()
	if t == nil { // another source of the same query may have one
		if s := table.slotOf(ts.key, &ts.id); s != nil {
			ts.slot.Store(s)
			t = s.token.Load()
		}
	}
	now := ts.store.now()
	allowed := t != nil && !r.force && r.allow(t, now)
	if allowed && r.met(t, begun, now) && !isDue(t.staleAt, now) || t != nil && r.stands(t, now) {
		table.maintain(ctx, ts, t, now)
		ts.store.observeHit(ctx, ts.key)
		return t, nil
	}
	got, err := table.await(ctx, ts, r, begun)
	switch {
	case got != nil:
		ts.slot.Store(table.slotOf(ts.key, &ts.id))
		if got.obtained <= begun { // or the token is new, however short its lifetime
			table.maintain(ctx, ts, got, now)
		}
		if !r.force {
			err = nil // not saved; the observer was told, and Flush returns it
		}
		return got, err
	case allowed && !errors.Is(ctx.Err(), context.Canceled) && r.allow(t, ts.store.now()) && table.holds(ts):
		return t, nil // an outage that lasted as long as the caller waited; a sign-out would have emptied the slot
	}
	return nil, err
}

// maintain does in the background what a returned token needs: a refresh inside its
// window, and another try to save it.
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

// heldOff reports whether something failed a moment ago and would fail again. The caller
// holds the shard's mu.
func (r *tableRecord) heldOff(s *slot, at *tokencache.AccessToken, now time.Time) bool {
	if f := r.failures; f != nil {
		user := f.users[userID(at.HomeAccountID, at.Environment, at.ClientID)]
		if f.store.active(now) || f.providers[s.id.provider()].active(now) || user.active(now) {
			return true
		}
	}
	return s.failures != nil && s.failures.plain.active(now)
}

// holds reports whether there is still a token for ts. An attempt empties the slot when
// it finds that the user has signed out.
func (t *tokenTable) holds(ts *TokenSource) bool {
	s := t.slotOf(ts.key, &ts.id)
	return s != nil && s.token.Load() != nil
}

// isDue reports whether a time in Unix nanoseconds has come. Zero means never.
func isDue(at int64, now time.Time) bool { return at != 0 && now.UnixNano() >= at }

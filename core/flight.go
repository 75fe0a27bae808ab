package core

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/jitter"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// flight obtains a token for everybody in the process who asks for the same
// thing. Flights of one key queue at the entry's gate, since they share refresh
// tokens: what the first brings often serves the next.
type flight struct {
	id      flightID
	done    chan struct{} // closed when got and err are set
	got     *copied       // with an err too, if it could not be saved
	err     error
	cancel  context.CancelFunc
	waiters int // guarded by Store.mu
}

type flightID struct {
	query       queryID
	minValidity time.Duration
	claims      string
	rejected    tokencache.Secret
	force       bool
	fresh       bool
}

// await takes part in the flight that obtains the token. When the last of
// those who wait gives up, a flight that has not reached the provider yet is
// called off.
func (s *Store) await(ctx context.Context, ts *TokenSource, want demand) (*copied, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	e := s.entryOf(ts.key)
	f := s.flightOf(ctx, e, ts, want)
	f.waiters++
	s.mu.Unlock()
	select {
	case <-f.done:
		return f.got, f.err
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel()
		if e.flights[f.id] == f { // the next to ask needs one that isn't called off
			delete(e.flights, f.id)
		}
	}
	return nil, ctx.Err()
}

// flightOf returns the flight under way, or starts one. Store.mu is held.
func (s *Store) flightOf(ctx context.Context, e *entry, ts *TokenSource, want demand) *flight {
	id := flightID{ts.id, want.minValidity, want.claims, want.rejected, want.force, want.fresh}
	if f := e.flights[id]; f != nil {
		return f
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	if want.fresh { // nobody waits for it, so nobody would call it off
		ctx, cancel = context.WithTimeout(ctx, s.refreshTimeout+s.leaseTTL)
	}
	f := &flight{id: id, done: make(chan struct{}), err: errNoReturn, cancel: cancel}
	e.flights[id] = f
	e.users++
	end := s.beginLocked()
	go func() {
		defer end()
		defer s.leave(e)
		defer cancel()
		defer s.land(e, f)
		f.got, f.err = s.fly(ctx, e, ts, want)
	}()
	return f
}

func (s *Store) land(e *entry, f *flight) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.flights[f.id] == f {
		delete(e.flights, f.id)
	}
	close(f.done)
}

func (s *Store) fly(ctx context.Context, e *entry, ts *TokenSource, want demand) (*copied, error) {
	if err := e.lock(ctx); err != nil {
		return nil, err
	}
	defer e.unlock()
	q := &quest{store: s, entry: e, source: ts, demand: want}
	if c, err := q.prepare(s.now()); c != nil || err != nil {
		return c, err
	}
	return q.obtain(ctx)
}

// tend does behind the caller's back what a token that is served needs: a
// refresh in its window, and another attempt to save it.
func (s *Store) tend(ctx context.Context, ts *TokenSource, c *copied, now time.Time) {
	inWindow := !now.Before(c.refreshAt)
	if !inWindow && !c.unsaved {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[ts.key]
	if e == nil {
		return
	}
	cell := e.cells[ts.id]
	if cell == nil || cell.copy.Load() != c {
		return
	}
	if c.unsaved {
		s.saveBehind(ctx, e, now)
		next := *c
		next.unsaved = e.unsaved != nil
		next.until = next.servedUntil(e.resave)
		cell.copy.Store(&next)
	}
	if inWindow && !e.outage.active(now) && !e.refusal.active(now) && !cell.refusal.active(now) {
		s.flightOf(ctx, e, ts, demand{begun: s.obtained.Load(), fresh: true})
	}
}

// remembers reports whether the process still has a copy for ts: a flight that
// found the user signed out has dropped it.
func (s *Store) remembers(ts *TokenSource) bool {
	cell := s.cellOf(ts.key, ts.id)
	return cell != nil && cell.copy.Load() != nil
}

// quest is one flight's way to a token; the entry's gate is held.
type quest struct {
	demand
	store  *Store
	entry  *entry
	source *TokenSource

	known      *copied // the process's copy at the start; it may be nil
	generation int     // of the entry at the start

	first tokencache.AccessToken // the one stored at first
	ran   bool                   // the refresh function left new tokens
	over  bool                   // and has no more to give
}

// prepare returns the copy that meets the demand already, if another flight
// brought one meanwhile, or the outage that makes it pointless to ask the store
// again so soon.
func (q *quest) prepare(now time.Time) (*copied, error) {
	s, e := q.store, q.entry
	s.mu.Lock()
	defer s.mu.Unlock()
	q.generation = e.generation
	if cell := e.cells[q.source.id]; cell != nil {
		q.known = cell.copy.Load()
	}
	if c := q.known; c != nil && q.allows(c, now) && q.satisfied(c, now) {
		if c.obtained > q.begun || !q.force && !isDue(c.staleAt, now) {
			return c, nil
		}
	}
	if e.outage.active(now) && !q.force {
		return nil, e.outage.err
	}
	return nil, nil
}

// maxRounds bounds the refreshes of one flight that find the record changed,
// but not the token they are after.
const maxRounds = 100

func (q *quest) obtain(ctx context.Context) (*copied, error) {
	s, query := q.store, q.source.query
	found, err := s.read(ctx, q.entry.key)
	if err != nil {
		return nil, q.remember(outageOf, err, "")
	}
	cache, version := found.cache, found.version
	var notSaved error
	for round := 0; ; round++ {
		if cache.Ambiguous(query) {
			q.dropCopy()
			return nil, s.fail("load", q.entry.key, ErrAmbiguous)
		}
		at, ok := cache.AccessToken(query)
		if round == 0 {
			q.first = at
			if !ok {
				q.dropCopy() // signed out since
			}
		}
		if ok {
			if c := q.accept(at, round); c != nil {
				q.publish(c, notSaved != nil)
				return c, notSaved
			}
		}
		if q.over {
			return nil, q.remember(ownRefusalOf, q.disappointment(cache), version)
		}
		if round == maxRounds {
			return nil, s.fail("refresh", q.entry.key, ErrConflict)
		}
		if err := q.remembered(version); err != nil {
			return nil, err
		}
		seen := version
		cache, version, err = s.refresh(ctx, q.entry.key, seen, q.refresh)
		if cache == nil {
			return nil, q.remember(refusalFor(err), err, seen)
		}
		notSaved = err
	}
}

// refresh is the refresh function of the quest's rounds.
func (q *quest) refresh(ctx context.Context, c *tokencache.Cache) error {
	if at, ok := c.AccessToken(q.source.query); ok && q.accept(at, 1) != nil {
		return ErrNotNeeded
	}
	if c.Ambiguous(q.source.query) {
		return q.store.fail("refresh", q.entry.key, ErrAmbiguous)
	}
	err := q.source.refresh(ctx, c, Refresh{
		Query:  q.source.query,
		Force:  q.force || q.rejected != "" || q.claims != "",
		Claims: q.claims,
	})
	q.ran = err == nil
	q.over = q.ran || errors.Is(err, ErrNotNeeded)
	return err
}

// accept returns the copy to make of a stored token, or nil if it won't do. A
// token that this flight, or somebody else since its first round, just
// obtained always does.
func (q *quest) accept(at tokencache.AccessToken, round int) *copied {
	now := q.store.now()
	if q.ran && (now.Before(at.ExpiresOn) || !q.isFirst(at)) {
		return q.copyOf(at, now, true)
	}
	if q.refuses(at.Secret) || !now.Before(at.ExpiresOn) {
		return nil
	}
	c := q.copyOf(at, now, round > 0 && at.Secret != q.first.Secret)
	if c.obtained == 0 && !q.satisfied(c, now) {
		return nil
	}
	return c
}

// refuses reports whether the token is the very one that the demand wants
// replaced.
func (q *quest) refuses(secret tokencache.Secret) bool {
	if secret == q.rejected {
		return true
	}
	if q.claims != "" && q.known != nil && q.known.claims != q.claims && secret == q.known.token.Secret {
		return true // obtained here, for another challenge or none
	}
	return (q.force || q.claims != "") && q.rejected == "" && secret == q.first.Secret
}

// isFirst reports whether the refresh function left the token as it was.
func (q *quest) isFirst(at tokencache.AccessToken) bool {
	f := q.first
	return at.Secret == f.Secret && at.CachedAt.Equal(f.CachedAt) && at.ExpiresOn.Equal(f.ExpiresOn)
}

func (q *quest) copyOf(at tokencache.AccessToken, now time.Time, obtained bool) *copied {
	s := q.store
	c := &copied{token: at, claims: q.claims, issued: at.CachedAt}
	if s.maxStale > 0 {
		c.staleAt = now.Add(s.maxStale).Round(0) // by the wall clock: a computer's sleep counts
	}
	if !obtained && q.known != nil && q.known.token.Secret == at.Secret {
		c.claims, c.obtained, c.issued, c.refreshAt = q.known.claims, q.known.obtained, q.known.issued, q.known.refreshAt
		return c
	}
	if obtained {
		c.obtained = s.obtained.Add(1)
	}
	// A provider may hand out a token of its own cache again: what counts is
	// when we got it, or it would be in its window at once.
	if q.ran || c.issued.IsZero() || c.issued.After(now) {
		c.issued = now
	}
	window := s.window
	if s.jitter > 0 {
		window += jitter.Below(s.jitter)
	}
	c.refreshAt = at.ExpiresOn.Add(-min(window, at.ExpiresOn.Sub(c.issued)/2))
	if at.RefreshOn.After(c.issued) && at.RefreshOn.Before(c.refreshAt) {
		c.refreshAt = at.RefreshOn
	}
	return c
}

// servedUntil is when the copy next needs a second thought.
func (c *copied) servedUntil(resave failure) int64 {
	until := c.refreshAt
	if !c.staleAt.IsZero() && c.staleAt.Before(until) {
		until = c.staleAt
	}
	if c.unsaved && resave.until.Before(until) {
		until = resave.until
	}
	return until.UnixNano()
}

// publish makes c the process's copy, unless the application changed the
// record while it was being obtained.
func (q *quest) publish(c *copied, unsaved bool) {
	s, e := q.store, q.entry
	s.mu.Lock()
	defer s.mu.Unlock()
	e.outage = failure{}
	if q.ran {
		e.refusal = failure{}
	}
	if e.generation != q.generation {
		return
	}
	c.unsaved = unsaved || e.unsaved != nil
	c.until = c.servedUntil(e.resave)
	cell := s.makeCell(e, q.source.id, c.token.ExpiresOn)
	cell.refusal = failure{}
	cell.copy.Store(c)
}

func (q *quest) dropCopy() {
	q.store.mu.Lock()
	defer q.store.mu.Unlock()
	if cell := q.entry.cells[q.source.id]; cell != nil {
		cell.copy.Store(nil)
	}
}

// disappointment is why a refresh that succeeded brought no token.
func (q *quest) disappointment(c *tokencache.Cache) error {
	query := q.source.query
	if _, signedIn := c.Account(query); !signedIn && !query.App {
		return q.store.fail("refresh", q.entry.key, ErrReauthRequired) // signed out meanwhile
	}
	return q.store.fail("refresh", q.entry.key, errors.New("the refresh left no access token with the scopes of the query: perhaps the user has not consented to them"))
}

// Where failures are remembered: outages and refusals concern all queries of
// the record, but that a user must sign in again, or has no such token, is no
// reason to refuse the others.
func outageOf(c *cell) *failure     { return &c.entry.outage }
func refusalOf(c *cell) *failure    { return &c.entry.refusal }
func ownRefusalOf(c *cell) *failure { return &c.refusal }

func refusalFor(err error) func(*cell) *failure {
	if errors.Is(err, ErrReauthRequired) {
		return ownRefusalOf
	}
	return refusalOf
}

// remember notes a failure, and returns it. That the callers went away is none.
func (q *quest) remember(where func(*cell) *failure, err error, v Version) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	s, e, id := q.store, q.entry, q.source.id
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	c := e.cells[id]
	if c == nil {
		c = s.makeCell(e, id, now)
	}
	f := where(c)
	*f = f.again(err, v, now)
	if c.copy.Load() == nil {
		s.makeCell(e, id, f.until) // it keeps the entry, and so the memory, alive
	}
	return err
}

// remembered returns the error of a refresh that failed a moment ago with the
// record as it still is.
func (q *quest) remembered(v Version) error {
	if q.force {
		return nil
	}
	s, e := q.store, q.entry
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	if e.refusal.active(now) && e.refusal.version == v {
		return e.refusal.err
	}
	if cell := e.cells[q.source.id]; cell != nil && cell.refusal.active(now) && cell.refusal.version == v {
		return cell.refusal.err
	}
	return nil
}

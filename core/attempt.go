package core

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// attempt obtains a token for all callers in the process that ask for the same. Attempts
// on one record run one at a time, because they use the same refresh token. The tokens that
// one attempt obtains are often good enough for the next.
//
// Thousands of attempts may wait until they run, so they are kept small.
type attempt struct {
	requirements
	begun  uint64 // tokenTable.obtained when the first call began that wants this token
	table  *tokenTable
	record *tableRecord
	source *TokenSource

	caller  context.Context // of the first call, for its values
	passage passage         // through the record's gate
	batch   *batch          // in which Flush waits for it

	done chan struct{} // closed when got and err are set
	got  *heldToken    // set together with err if the token could not be saved
	err  error

	generation uint32 // of the record when the first call came that wants this token

	// Guarded by the shard's mu.
	waiters   int32
	cancel    context.CancelFunc // nil until the attempt runs
	abandoned bool               // no caller waits any more

	placed bool // guarded by the mu of places

	*progress // nil until the attempt runs
}

// progress is what an attempt has found out. It belongs to the goroutine that runs the
// attempt.
type progress struct {
	known *heldToken          // the token in the slot at the start; it may be nil
	start []tokencache.Secret // the access token that fitted at the start; all that fitted, if none is good enough
	age   time.Duration       // of the record, if another attempt loaded it; otherwise zero
	user  string              // the user of the refresh token; "" if there is none
	state uint64              // a digest of the refresh token that a refresh would send
	given tokencache.Secret   // the access token that the refresh function brought
	ran   bool                // the refresh function succeeded
	over  bool                // the refresh function has run, and would obtain nothing else
}

// attemptID tells attempts on one record apart.
type attemptID struct {
	query queryID
	requirements
}

func (a *attempt) identity() attemptID { return attemptID{a.source.id, a.requirements} }

// await takes part in the attempt that obtains the token. When the last waiter gives up,
// an attempt that hasn't reached the provider yet is cancelled.
//
// Thousands of callers may wait here at once, so they keep little on their stacks.
func (t *tokenTable) await(ctx context.Context, ts *TokenSource, r *requirements, begun uint64) (*heldToken, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a := t.join(ctx, ts, r, begun)
	select {
	case <-a.done:
		return a.got, a.err
	case <-ctx.Done():
		a.giveUp()
		return nil, ctx.Err()
	}
}

func (t *tokenTable) join(ctx context.Context, ts *TokenSource, r *requirements, begun uint64) *attempt {
	shard := t.shardOf(ts.key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	a := t.attempt(ctx, shard.record(ts.key), ts, r, begun)
	a.waiters++
	return a
}

func (a *attempt) giveUp() {
	shard := a.record.shard
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if a.waiters--; a.waiters > 0 {
		return
	}
	if a.abandoned = true; a.cancel != nil {
		a.cancel()
	}
	a.record.attempts.remove(a) // the next caller needs an attempt that isn't cancelled
}

// attempt returns the attempt under way, or starts one. The shard's mu is held.
func (t *tokenTable) attempt(ctx context.Context, record *tableRecord, ts *TokenSource, r *requirements, begun uint64) *attempt {
	id := attemptID{ts.id, *r}
	if running := record.attempts.get(&id); running != nil {
		return running
	}
	a := &attempt{requirements: *r, begun: begun, table: t, record: record, source: ts,
		caller: ctx, generation: record.generation, done: make(chan struct{}), err: errNoReturn}
	record.attempts.add(a)
	record.running++
	a.batch = t.store.work.begin()
	processGates.arrive(&a.passage, t.store.gate(record.key), a) // from now on, a save may start it
	t.places.start(a)
	return a
}

// recordSaved starts the attempt at once: the saved record probably has its token, so the
// attempt needs nothing from the store.
func (a *attempt) recordSaved() { a.table.places.startNow(a) }

// run runs the attempt, which has a place.
func (a *attempt) run() {
	defer a.table.store.work.end(a.batch)
	defer a.finish()
	a.progress = new(progress)
	ctx, cancel := a.context()
	defer cancel()
	a.got, a.err = a.pass(ctx)
}

// context returns the context of the attempt, which replaces the first caller's.
func (a *attempt) context() (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(a.caller)
	if a.background { // no caller could cancel it
		return context.WithTimeout(ctx, a.table.store.refreshTimeout+a.table.store.leaseTTL)
	}
	ctx, cancel := context.WithCancel(ctx)
	shard := a.record.shard
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if a.cancel = cancel; a.abandoned {
		cancel()
	}
	return ctx, cancel
}

func (a *attempt) finish() {
	shard := a.record.shard
	shard.mu.Lock()
	defer shard.mu.Unlock()
	a.record.attempts.remove(a)
	a.record.running--
	a.record.dropIfEmpty()
	close(a.done)
}

// pass obtains the token when no other attempt is at the record.
func (a *attempt) pass(ctx context.Context) (*heldToken, error) {
	if err := a.passage.enter(ctx); err != nil {
		return nil, err
	}
	defer a.passage.leave()
	switch t, err := a.prepare(a.table.store.now()); {
	case err != nil:
		a.table.store.observed(ctx, EventBackoff, a.record.key, 0, err)
		return nil, err
	case t != nil:
		return t, nil
	}
	return a.obtain(ctx)
}

// prepare returns a token that meets the requirements, if another attempt obtained one
// meanwhile. It returns an error if the store failed a moment ago, and should not be asked
// again so soon.
func (a *attempt) prepare(now time.Time) (*heldToken, error) {
	shard, r := a.record.shard, a.record
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if s := r.slots.get(&a.source.id); s != nil {
		a.known = s.token.Load()
	}
	if t := a.known; t != nil {
		if a.allow(t, now) && a.met(t, a.begun, now) && (t.obtained > a.begun || !a.force && !isDue(t.staleAt, now)) {
			return t, nil
		}
		if a.stands(t, now) {
			return t, nil
		}
	}
	if f := r.failures; f != nil && f.store.active(now) && !a.force {
		return nil, f.store.err
	}
	return nil, nil
}

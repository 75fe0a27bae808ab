package core

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Refresh calls fn to put fresh tokens into the record, unless the record has changed
// since seen. It returns what is stored afterwards. fn is called at most once, under the
// lease, with the token cache as it is then (an empty one if nothing is stored). It may
// return ErrNotNeeded. Its result is merged with what others stored meanwhile and saved,
// before the lease is released.
//
// Once fn is called, the refresh no longer depends on ctx. If ctx ends first, Refresh
// returns ctx's error and the refresh goes on; Flush waits for it. The context of fn ends
// after the store's refresh timeout. If fn hasn't returned some seconds later, Refresh
// returns an error and releases the lease; what fn leaves in the end is saved all the
// same.
//
// With ErrRefreshedNotSaved, the returned cache has the new tokens, and the store keeps
// them. If fn returns ErrReauthRequired but the record has changed meanwhile, another
// process was quicker: Refresh returns the new record.
func (s *Store) Refresh(ctx context.Context, key string, seen Version, fn func(context.Context, *tokencache.Cache) error) (*tokencache.Cache, Version, error) {
	type result struct {
		record contents
		err    error
	}
	done := make(chan result, 1)
	running := s.work.begin()
	go func() {
		defer s.work.end(running)
		r := result{err: errNoReturn}
		defer func() { done <- r }()
		var passage passage
		processGates.arrive(&passage, s.gate(key), nil)
		if err := passage.enter(ctx); err != nil {
			r.err = err
			return
		}
		defer passage.leave()
		r.record, _, r.err = s.refresh(ctx, &passage, seen, fn, nil)
		if r.record.cache != nil {
			s.tokens.forget(key)
		}
	}()
	select {
	case r := <-done:
		if r.record.cache == nil {
			return nil, "", r.err
		}
		return r.record.cache, r.record.seen(), r.err
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}

// refresh is Refresh without detaching. The caller has passed the record's gate. concern is a
// digest of the part of the record on which fn depends; nil means all of it. The error is
// fn's own if ofProvider is true. If there is an error and the record has a cache, the
// cache has tokens that could not be saved.
func (s *Store) refresh(ctx context.Context, p *passage, seen Version, fn func(context.Context, *tokencache.Cache) error, concern func(*tokencache.Cache) uint64) (record contents, ofProvider bool, err error) {
	key := p.gate.id.key
	stored, _, unchanged := s.unsaved.storedVersion(key, seen)
	if !unchanged { // by what could not be saved: no backend knows
		record, err = s.read(ctx, key)
		return record, false, err
	}
	if err := p.ask(ctx); err != nil {
		return contents{}, false, err
	}
	defer s.unsaved.begin(key)()
	run := &refreshRun{store: s, key: key, fn: fn, concern: concern, passage: p}
	decision, err := s.backend.ShouldRefresh(ctx, key, RefreshRequest{
		Seen:     stored,
		Refresh:  run.refresh,
		LeaseTTL: s.leaseTTL,
		Timeout:  s.refreshTimeout + overdue + saveTimeout,
		found:    run.find,
		waits:    p.answered,
		observed: func(ctx context.Context, name EventName, d time.Duration) { s.observed(ctx, name, key, d, nil) },
	})
	if err == nil && decision == RefreshNow {
		decision, err = run.uncoordinated(ctx, stored)
	}
	switch {
	case run.record.cache != nil: // saved, or kept: run.err says which
		return run.record, false, run.err
	case err != nil:
		return contents{}, run.failed, err
	case decision != RefreshedElsewhere:
		return contents{}, false, s.fail("refresh", key, errors.New("the backend answered "+decision.String()+" without a refresh"))
	case run.found != nil:
		record, err = s.open(ctx, key, *run.found)
	default:
		record, err = s.read(ctx, key)
	}
	return record, false, err
}

// refreshWithoutLease runs fn once without a lease, and Refresh.LeaseHeld tells fn so. It
// is for a record that has no refresh token to protect: fn finds that nobody is signed
// in, without a wait for a lease.
func (s *Store) refreshWithoutLease(ctx context.Context, p *passage, from contents, fn func(context.Context, *tokencache.Cache) error) (record contents, err error) {
	key := p.gate.id.key
	defer s.unsaved.begin(key)()
	run := &refreshRun{store: s, key: key, fn: fn, stranger: true, passage: p}
	lost := &leaseClock{}
	lost.lose()
	err = run.obtain(withLeaseClock(context.WithoutCancel(ctx), lost), from)
	if run.record.cache != nil {
		return run.record, run.err
	}
	return contents{}, err
}

// refreshRun has the closures of one RefreshRequest, and their results.
type refreshRun struct {
	store   *Store
	key     string
	fn      func(context.Context, *tokencache.Cache) error
	passage *passage

	concern  func(*tokencache.Cache) uint64 // see Store.refresh
	stranger bool                           // fn has no refresh token to spend

	found  *Record  // the record that the backend saw last; nil if it didn't tell
	record contents // with the new tokens; the zero value without any
	err    error    // why record is not saved
	failed bool     // fn has failed
}

func (r *refreshRun) find(rec Record) { r.found = &rec }

func (r *refreshRun) refresh(ctx context.Context, current Record) error {
	ctx = context.WithoutCancel(ctx) // whatever context the backend passed
	from, err := r.store.open(ctx, r.key, current)
	if err != nil {
		return err
	}
	return r.obtain(ctx, from)
}

// obtain calls fn to put tokens into the record, and saves them.
func (r *refreshRun) obtain(ctx context.Context, from contents) error {
	mine := from.cache.Clone()
	if err := r.call(ctx, from, mine); err != nil {
		if errors.Is(err, ErrReauthRequired) && r.changedSince(ctx, from) {
			return ErrNotNeeded
		}
		// After ErrLeaseLost the backend waits again, and what ends that wait is no failure of fn.
		r.failed = !errors.Is(err, ErrNotNeeded) && !errors.Is(err, ErrLeaseLost)
		return err
	}
	r.record, r.err = r.store.saveObtained(ctx, r.key, from, mine)
	return r.err
}

// overdue is how long a refresh function, or a store, may take after its time-out.
const overdue = 5 * time.Second

// call runs the refresh function, which leaves its tokens in mine.
func (r *refreshRun) call(ctx context.Context, from contents, mine *tokencache.Cache) error {
	r.passage.answered()
	s, start := r.store, r.store.now()
	bounded, cancel := context.WithTimeout(ctx, s.refreshTimeout)
	defer cancel()
	done := make(chan error, 1)
	go r.run(bounded, mine, done)
	timer := time.NewTimer(s.refreshTimeout + overdue)
	defer timer.Stop()
	var err error
	select {
	case err = <-done:
	case <-timer.C:
		err = fmt.Errorf("the refresh function has not returned %v after its time-out of %v: %w", overdue, s.refreshTimeout, context.DeadlineExceeded)
		go func() {
			if <-done == nil { // the provider has answered, which it does once
				r.saveLate(ctx, from, mine, err)
			}
		}()
	}
	if !errors.Is(err, ErrNotNeeded) {
		s.observe(ctx, EventRefresh, r.key, start, err)
	}
	return err
}

// saveLate saves the tokens of a refresh for which no caller waits any more. The next
// refresh may begin at any moment, so the tokens count as unsaved until they are saved.
func (r *refreshRun) saveLate(ctx context.Context, from contents, mine *tokencache.Cache, cause error) {
	s := r.store
	defer s.work.end(s.work.begin())
	s.unsaved.keep(r.key, from, mine, cause, s.now())
	s.tokens.forget(r.key)
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	_ = s.saveUnsaved(ctx, r.key) // the observer is told of a failure, and Flush returns it
}

// run calls fn and passes on how it ended. No caller could recover from a panic in this
// goroutine, so a panic becomes an error.
func (r *refreshRun) run(ctx context.Context, mine *tokencache.Cache, done chan<- error) {
	err := errNoReturn // if fn ends its goroutine
	defer func() {
		if v := recover(); v != nil {
			err = r.store.fail("refresh", r.key, &panicError{panicText(v), debug.Stack()})
		}
		done <- err
	}()
	err = r.fn(ctx, mine)
}

// panicError is a panic of a refresh function. Its lines are those of the stack.
type panicError struct {
	text  string
	stack []byte
}

func (e *panicError) Error() string {
	return "the refresh function panicked: " + e.text + "\n" + string(e.stack)
}

// panicText returns the text of a panic's value, if it has one. For any other value it
// returns the type: the value may contain tokens.
func panicText(v any) string {
	switch v.(type) {
	case error, fmt.Formatter, fmt.Stringer, string:
		return Printable(fmt.Sprint(v))
	}
	return fmt.Sprintf("with a value of type %T", v)
}

// errNoReturn is what callers get if a function of the program ends its goroutine.
var errNoReturn = errors.New("the refresh function, the backend, the cryptography manager or the observer ended its goroutine instead of returning")

// changedSince reads the record again before a lost race is taken for a sign-out.
func (r *refreshRun) changedSince(ctx context.Context, from contents) bool {
	if r.stranger || from.version == Absent && from.unsaved == nil && from.cache.IsEmpty() {
		return false // no process can have been quicker with a token that doesn't exist
	}
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	rec, err := r.store.load(ctx, r.key)
	if err != nil || rec.Version == from.version && r.store.unsaved.of(r.key) == from.unsaved {
		return false
	}
	if r.concern == nil {
		return true
	}
	now, err := r.store.open(ctx, r.key, rec)
	return err == nil && r.concern(now.cache) != r.concern(from.cache)
}

// uncoordinated does what ShouldRefresh left to the caller. The record's gate lets one
// refresh at a time in this process get here.
func (r *refreshRun) uncoordinated(ctx context.Context, seen Version) (RefreshDecision, error) {
	current, err := r.store.load(ctx, r.key)
	if err != nil {
		return 0, err
	}
	if seen != AnyVersion && seen != current.Version {
		r.find(current)
		return RefreshedElsewhere, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	switch err := r.refresh(ctx, current); {
	case errors.Is(err, ErrNotNeeded):
		return RefreshedElsewhere, nil
	case err != nil:
		return 0, err
	}
	return RefreshedHere, nil
}

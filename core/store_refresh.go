package core

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Refresh has fn put fresh tokens into the record, unless somebody changed it
// since seen, and returns what is stored afterwards. fn is called at most
// once, under the lease, with the token cache as it is then (an empty one
// where nothing is stored); it may say ErrNotNeeded. What it leaves is saved
// and merged with what others stored meanwhile, before the lease falls.
//
// From the moment fn is called, the refresh no longer depends on ctx: when ctx
// ends first, Refresh returns its error and the refresh goes on; Flush waits
// for it. The context fn gets ends after the store's refresh timeout.
//
// With ErrRefreshedNotSaved, the returned cache has the new tokens, and the
// store keeps them. When fn says ErrReauthRequired but the record has changed
// under it, the race was lost, nothing more: the new record is returned.
func (s *Store) Refresh(ctx context.Context, key string, seen Version, fn func(context.Context, *tokencache.Cache) error) (*tokencache.Cache, Version, error) {
	type result struct {
		cache   *tokencache.Cache
		version Version
		err     error
	}
	done := make(chan result, 1)
	end := s.begin()
	go func() {
		defer end()
		r := result{err: errNoReturn}
		defer func() { done <- r }()
		e := s.enter(key)
		defer s.leave(e)
		if err := e.lock(ctx); err != nil {
			r.err = err
			return
		}
		defer e.unlock()
		r.cache, r.version, r.err = s.refresh(ctx, key, seen, fn)
		if r.cache != nil {
			s.forgetCopies(key)
		}
	}()
	select {
	case r := <-done:
		return r.cache, r.version, r.err
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
}

// lock admits one refresh of the key at a time, because all queries and claims
// of one record share its refresh tokens.
func (e *entry) lock(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case e.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *entry) unlock() { <-e.gate }

// refresh is Refresh without detaching; the entry's gate is held.
func (s *Store) refresh(ctx context.Context, key string, seen Version, fn func(context.Context, *tokencache.Cache) error) (*tokencache.Cache, Version, error) {
	run := &refreshRun{store: s, key: key, fn: fn}
	decision, err := s.backend.ShouldRefresh(ctx, key, RefreshRequest{
		Seen:     seen,
		Refresh:  run.refresh,
		LeaseTTL: s.leaseTTL,
	})
	if err == nil && decision == RefreshNow {
		decision, err = run.uncoordinated(ctx, seen)
	}
	if run.cache != nil { // saved, or kept: run.err says which
		return run.cache, run.version, run.err
	}
	if err != nil {
		return nil, "", err
	}
	if decision != RefreshedElsewhere {
		return nil, "", s.fail("refresh", key, errors.New("the backend answered "+decision.String()+" without a refresh"))
	}
	c, err := s.read(ctx, key)
	return c.cache, c.version, err
}

// refreshRun is one RefreshRequest's closure and what it leaves.
type refreshRun struct {
	store *Store
	key   string
	fn    func(context.Context, *tokencache.Cache) error

	cache   *tokencache.Cache
	version Version
	err     error
}

func (r *refreshRun) refresh(ctx context.Context, current Record) error {
	s := r.store
	ctx = context.WithoutCancel(ctx) // whatever the backend handed down
	c, err := s.open(ctx, r.key, current)
	if err != nil {
		return err
	}
	c.cache = c.cache.Clone() // stored stays what the merge begins with
	if err := r.call(ctx, c.cache); err != nil {
		if errors.Is(err, ErrReauthRequired) && r.changedSince(ctx, current.Version) {
			return ErrNotNeeded
		}
		return err
	}
	r.cache, r.version, r.err = s.saveRefreshed(ctx, r.key, c)
	return r.err
}

// call runs the refresh function, which leaves its tokens in c. It has a
// goroutine that is nobody's, where no caller could recover from a panic: that
// is an error like another.
func (r *refreshRun) call(ctx context.Context, c *tokencache.Cache) (err error) {
	ctx, cancel := context.WithTimeout(ctx, r.store.refreshTimeout)
	defer cancel()
	start := r.store.now()
	err = errNoReturn
	defer func() {
		if v := recover(); v != nil {
			err = r.store.fail("refresh", r.key, fmt.Errorf("the refresh function panicked: %v\n%s", v, debug.Stack()))
		}
		if !errors.Is(err, ErrNotNeeded) {
			r.store.observe(ctx, EventRefresh, r.key, start, err)
		}
	}()
	return r.fn(ctx, c)
}

// errNoReturn is what callers get when the refresh function ends its goroutine.
var errNoReturn = errors.New("the refresh function did not return")

// changedSince looks again before a lost race is taken for a sign-out.
func (r *refreshRun) changedSince(ctx context.Context, v Version) bool {
	ctx, cancel := context.WithTimeout(ctx, saveTimeout)
	defer cancel()
	rec, err := r.store.load(ctx, r.key)
	return err == nil && rec.Version != v
}

// uncoordinated does what ShouldRefresh left to the caller. The entry's gate
// makes it one refresh at a time in this process at least.
func (r *refreshRun) uncoordinated(ctx context.Context, seen Version) (RefreshDecision, error) {
	current, err := r.store.load(ctx, r.key)
	if err != nil {
		return 0, err
	}
	if seen != AnyVersion && seen != current.Version {
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

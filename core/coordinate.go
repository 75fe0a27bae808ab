package core

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/jitter"
	"github.com/graphtoken/graphtoken/core/internal/sleep"
)

// Coordinate is the algorithm of every coordinated ShouldRefresh. It takes the key's
// lease from l, or waits while another process has it; compares the record in b with
// req.Seen; and runs req.Refresh if nobody refreshed meanwhile.
//
// A waiter returns as soon as the record changes. If the lease becomes free and the
// record hasn't changed, the waiter takes over. If b is a [Watcher], it wakes waiters;
// otherwise l does, if l is a Watcher, as soon as the lease is free. A wake-up can be
// lost, so waiters also look by themselves, more and more slowly. The lease is renewed
// while Refresh runs, for req.Timeout at most.
//
// A lease can be lost before Refresh begins, because the process was frozen or the store
// could not be reached for most of the ttl. Then Coordinate waits again, since another
// process may have sent the refresh token. A lease that is lost later never cancels
// Refresh, because the provider's answer must not be lost: the version protects the save.
//
// Before Refresh begins, Coordinate returns ctx's error when ctx is done; afterwards it
// waits for Refresh. Errors of b, l and Refresh are returned unchanged.
func Coordinate(ctx context.Context, b TokenBackend, l Leaser, key string, req RefreshRequest) (RefreshDecision, error) {
	if err := ValidateKey(key); err != nil {
		return 0, err
	}
	if req.LeaseTTL <= 0 {
		req.LeaseTTL = DefaultLeaseTTL
	}
	if req.Timeout <= 0 {
		req.Timeout = DefaultHoldTime
	}
	waiter := newWaiter(b, l, key)
	for lost := 0; ; {
		// The lease comes first and the record second. The usual caller has just loaded
		// the record; a comparison before the lease would have to be repeated under it.
		h, err := hold(ctx, l, key, req.LeaseTTL)
		if err == nil {
			decision, err := h.refresh(ctx, b, key, req, waiter)
			if !errors.Is(err, ErrLeaseLost) || h.clock.held() || ctx.Err() != nil {
				return decision, err
			}
			// Nothing was sent, so the process that has the lease now refreshes.
			if lost++; lost == maxLost {
				return 0, fmt.Errorf("%w %d times before a request was sent: the store takes longer to answer than the lease lasts (%v)", ErrLeaseLost, lost, req.LeaseTTL)
			}
			continue
		}
		if !errors.Is(err, ErrLeaseHeld) {
			return 0, err
		}
		// The waiter reads the record before it tries for the lease again: most
		// times it finds the token it waited for, and would take the lease for
		// nothing.
		changed, err := waiter.wait(ctx, req)
		if err != nil {
			waiter.over(ctx, req)
			return 0, err
		}
		if changed {
			waiter.over(ctx, req)
			return RefreshedElsewhere, nil
		}
	}
}

// maxLost bounds the tries with a store that answers too late for every lease.
const maxLost = 10

// refresh does what is done under the lease, and releases it.
func (h *holding) refresh(ctx context.Context, b TokenBackend, key string, req RefreshRequest, w *waiter) (RefreshDecision, error) {
	detached := context.WithoutCancel(ctx)
	defer h.release(detached)
	defer h.keepRenewed(detached, req.Timeout)()

	waited := w.over(ctx, req)
	current, err := loadOrAbsent(ctx, b, key)
	if err != nil {
		return 0, err
	}
	if req.changed(current) {
		return RefreshedElsewhere, nil
	}
	if req.Refresh == nil {
		return RefreshNow, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if !h.clock.held() {
		return 0, ErrLeaseLost
	}
	if waited {
		req.observe(ctx, EventTakeover, 0)
	}
	switch err := req.Refresh(withLeaseClock(detached, h.clock), current); {
	case errors.Is(err, ErrNotNeeded):
		return RefreshedElsewhere, nil
	case err != nil:
		return 0, err
	}
	return RefreshedHere, nil
}

func (r RefreshRequest) observe(ctx context.Context, name EventName, d time.Duration) {
	if r.observed != nil {
		r.observed(ctx, name, d)
	}
}

// changed reports whether current differs from the record that the caller has seen. If so,
// changed passes current to found.
func (r RefreshRequest) changed(current Record) bool {
	if r.Seen == AnyVersion || r.Seen == current.Version {
		return false
	}
	if r.found != nil {
		r.found(current)
	}
	return true
}

// loadOrAbsent is Load with an absent record as Record{Version: Absent}.
func loadOrAbsent(ctx context.Context, b TokenBackend, key string) (Record, error) {
	rec, err := b.Load(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return Record{Version: Absent}, nil
	}
	return rec, err
}

// waiter waits until another process's refresh may be over.
type waiter struct {
	backend  TokenBackend
	key      string
	watcher  Watcher // nil: the waiter polls
	borrowed bool    // the watcher is the leaser's, which doesn't see the record
	wakes    int     // how often a borrowed watcher woke the waiter
	pause    time.Duration
	stored   Version   // at the last look; AnyVersion before the first
	idle     bool      // the last look found the same version as the look before
	since    time.Time // when the wait began; zero if there is no wait
}

// Polls begin quickly, because providers answer within a second, and slow down, because
// some stores charge for each call. The wait for a Watcher is bounded too, because a
// wake-up can be lost with a connection. The bound is long, because a Watcher looks by
// itself now and then, and looks of thousands of waiters keep the holders from their
// saves.
const (
	firstPause, lastPause           = 10 * time.Millisecond, time.Second
	firstWatchBound, lastWatchBound = 5 * time.Second, 30 * time.Second
)

func newWaiter(b TokenBackend, l Leaser, key string) *waiter {
	w := &waiter{backend: b, key: key, pause: firstWatchBound, stored: AnyVersion}
	if watcher, ok := As[Watcher](b); ok {
		w.watcher = watcher
	} else if watcher, ok := l.(Watcher); ok {
		w.watcher, w.borrowed = leaseWatcher{watcher}, true
	} else {
		w.pause = firstPause
	}
	return w
}

// leaseWatcher waits until a lease is free. A store that only leases has no record of that
// name. If it has one all the same, each wait ends at once.
type leaseWatcher struct{ Watcher }

func (l leaseWatcher) Wait(ctx context.Context, key string, _ Version) error {
	return l.Watcher.Wait(ctx, key, Absent)
}

// over tells the observer of a wait, and reports whether there was one.
func (w *waiter) over(ctx context.Context, req RefreshRequest) (waited bool) {
	if w.since.IsZero() {
		return false
	}
	req.observe(ctx, EventWait, time.Since(w.since))
	w.since = time.Time{}
	return true
}

// spare is how often a borrowed watcher may wake a waiter for nothing. That happens if a
// refresh failed and another waiter was quicker to the lease. A watcher that does it more
// often probably has a record of that name (see leaseWatcher), and is no longer used.
const spare = 2

// wait returns when a try for the lease may succeed, or when the record has changed since
// the request was made.
func (w *waiter) wait(ctx context.Context, req RefreshRequest) (changed bool, err error) {
	if w.since.IsZero() {
		w.since = time.Now()
	}
	if req.waits != nil {
		req.waits()
	}
	if w.stored == AnyVersion && w.watcher != nil && !w.borrowed {
		w.stored = req.Seen // no load is needed: the watcher looks at the record itself
	}
	if w.stored == AnyVersion {
		// The holder of the lease may have saved by now, or died.
		if changed, err := w.look(ctx, req); changed || err != nil {
			return changed, err
		}
	}
	if err := w.rest(ctx); err != nil {
		return false, err
	}
	return w.look(ctx, req)
}

func (w *waiter) look(ctx context.Context, req RefreshRequest) (changed bool, err error) {
	current, err := loadOrAbsent(ctx, w.backend, w.key)
	if err != nil {
		return false, err
	}
	w.idle = current.Version == w.stored
	w.stored = current.Version
	return req.changed(current), nil
}

// rest returns nil when the waiter should look again, or ctx's error.
func (w *waiter) rest(ctx context.Context) error {
	pause := jitter.Around(w.pause)
	w.pause = w.pause * 8 / 5
	if w.watcher == nil {
		w.pause = min(w.pause, lastPause)
		return sleep.For(ctx, pause)
	}
	w.pause = min(w.pause, lastWatchBound)
	if w.idle {
		// The waiter was woken, and nothing had changed: another waiter was quicker to
		// the lease. Without a pause, many waiters would look all the time.
		if err := sleep.For(ctx, jitter.Around(firstPause)); err != nil {
			return err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	switch err := w.watcher.Wait(bounded, w.key, w.stored); {
	case bounded.Err() != nil:
	case err != nil, w.borrowed && w.wakes == spare:
		// The watcher doesn't work. The waiter polls from here on.
		w.watcher, w.pause = nil, firstPause
	default:
		w.wakes++
	}
	return ctx.Err()
}

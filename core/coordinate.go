package core

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/jitter"
)

// Coordinate is the one algorithm behind every coordinated ShouldRefresh: it
// takes the key's lease from l, or waits for whoever holds it; compares what
// b stores with req.Seen; and runs req.Refresh if nobody refreshed meanwhile.
//
// Waiters return as soon as the record changes, and take over when the lease
// falls free with the record unchanged. Where b is a [Watcher], they are woken
// by it, and otherwise by l, if that is one, as soon as the lease is free; polling
// goes on beneath, more and more slowly, because a wake-up can be lost. The
// lease is renewed while Refresh runs. A lease lost all the same never cancels
// Refresh, since the provider's answer must not be thrown away: the version
// protects the save.
//
// Errors are ctx's (before Refresh began; afterwards Refresh is waited for),
// those of b and l, and Refresh's own, unchanged.
func Coordinate(ctx context.Context, b TokenBackend, l Leaser, key string, req RefreshRequest) (RefreshDecision, error) {
	if err := ValidateKey(key); err != nil {
		return 0, err
	}
	ttl := cmp.Or(req.LeaseTTL, DefaultLeaseTTL)
	waiter := newWaiter(b, l, key)
	for {
		// The lease first, the record second: the common caller has just loaded
		// the record, and what it would compare before the lease it would have to
		// compare again under it.
		lease, err := acquire(ctx, l, key, ttl)
		if err == nil {
			return refreshUnder(ctx, lease, ttl, b, key, req)
		}
		if !errors.Is(err, ErrLeaseHeld) {
			return 0, err
		}
		// Who waited finds the token that it waited for, most times: it has
		// looked before it tries for the lease, which it would take for nothing.
		changed, err := waiter.wait(ctx, req)
		if err != nil {
			return 0, err
		}
		if changed {
			return RefreshedElsewhere, nil
		}
	}
}

// acquire is l.Acquire, and doesn't believe in a lease that isn't there.
func acquire(ctx context.Context, l Leaser, key string, ttl time.Duration) (Lease, error) {
	lease, err := l.Acquire(ctx, key, ttl)
	if err == nil && lease == nil {
		err = errors.New("core: Acquire returned neither a lease nor an error")
	}
	return lease, err
}

func refreshUnder(ctx context.Context, lease Lease, ttl time.Duration, b TokenBackend, key string, req RefreshRequest) (RefreshDecision, error) {
	detached := context.WithoutCancel(ctx)
	defer func() {
		// An error means that the lease is lost or will expire: neither
		// changes what was decided.
		ctx, cancel := context.WithTimeout(detached, releaseTimeout)
		defer cancel()
		_ = lease.Release(ctx)
	}()
	defer keepRenewed(detached, lease, ttl)()

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
	switch err := req.Refresh(detached, current); {
	case errors.Is(err, ErrNotNeeded):
		return RefreshedElsewhere, nil
	case err != nil:
		return 0, err
	}
	return RefreshedHere, nil
}

const releaseTimeout = 5 * time.Second

// keepRenewed renews the lease every third of its ttl until stop is called,
// which waits for the renewal under way. It gives up once the lease is lost;
// any other failure is tried again, since an outage may be over in time.
func keepRenewed(ctx context.Context, lease Lease, ttl time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sleep(ctx, ttl/3) == nil {
			if err := lease.Renew(ctx, ttl); errors.Is(err, ErrLeaseLost) {
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (r RefreshRequest) changed(current Record) bool {
	return r.Seen != AnyVersion && r.Seen != current.Version
}

// loadOrAbsent is Load with an absent record as Record{Version: Absent}.
func loadOrAbsent(ctx context.Context, b TokenBackend, key string) (Record, error) {
	rec, err := b.Load(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return Record{Version: Absent}, nil
	}
	return rec, err
}

// waiter passes the time until somebody else's refresh may be over.
type waiter struct {
	backend  TokenBackend
	key      string
	watcher  Watcher // nil: poll
	borrowed bool    // it is the leaser's, which doesn't see the record
	wakes    int     // by a borrowed one
	pause    time.Duration
	stored   Version // when this looked last; AnyVersion: it has not looked yet
	idle     bool    // as it was when this looked before
}

// Polls begin quickly, for providers answer within a second, and slow down for
// the sake of stores that charge by the call. A watched wait is bounded too:
// its wake-up can get lost with a connection.
const (
	firstPause, lastPause           = 10 * time.Millisecond, time.Second
	firstWatchBound, lastWatchBound = time.Second, 15 * time.Second
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

// leaseWatcher waits until a lease is free. A store that only leases has no
// record of that name; where it has one all the same, the wait ends at once.
type leaseWatcher struct{ Watcher }

func (l leaseWatcher) Wait(ctx context.Context, key string, _ Version) error {
	return l.Watcher.Wait(ctx, key, Absent)
}

// spare is how often a borrowed watcher may wake a waiter for nothing. Once or
// twice it is that a refresh failed, and another waiter was quicker to the lease.
const spare = 2

// wait returns when it is worth trying for the lease again, or once the record
// has changed since the request was made.
func (w *waiter) wait(ctx context.Context, req RefreshRequest) (changed bool, err error) {
	if w.stored == AnyVersion {
		// Whoever holds the lease may have saved by now, or died since.
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

// rest returns nil when it is worth looking again, and ctx's error.
func (w *waiter) rest(ctx context.Context) error {
	pause := jitter.Around(w.pause)
	w.pause = w.pause * 8 / 5
	if w.watcher == nil {
		w.pause = min(w.pause, lastPause)
		return sleep(ctx, pause)
	}
	w.pause = min(w.pause, lastWatchBound)
	if w.idle {
		// Woken, and nothing had changed: another waiter was quicker to the
		// lease. Many of them must not spin.
		if err := sleep(ctx, jitter.Around(firstPause)); err != nil {
			return err
		}
	}
	bounded, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	switch err := w.watcher.Wait(bounded, w.key, w.stored); {
	case bounded.Err() != nil:
	case err != nil, w.borrowed && w.wakes == spare:
		// The watch is broken, not the wait: poll from here on.
		w.watcher, w.pause = nil, firstPause
	default:
		w.wakes++
	}
	return ctx.Err()
}

// sleep waits for d, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

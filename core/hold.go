package core

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/late"
	"github.com/graphtoken/graphtoken/core/internal/sleep"
)

// holding is a lease that this process holds, from hold to release.
type holding struct {
	lease Lease
	ttl   time.Duration
	clock *leaseClock
}

// hold takes key's lease. If the caller leaves meanwhile and the store grants the lease
// all the same, hold releases it.
func hold(ctx context.Context, l Leaser, key string, ttl time.Duration) (*holding, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	asked := time.Now()
	lease, err := late.Take(ctx, func(ctx context.Context) (Lease, error) { return l.Acquire(ctx, key, ttl) })
	if err != nil {
		return nil, err
	}
	if lease == nil {
		return nil, errors.New("core: Acquire returned neither a lease nor an error")
	}
	return &holding{lease: lease, ttl: ttl, clock: &leaseClock{asked: asked, ttl: ttl}}, nil
}

const releaseTimeout = 5 * time.Second

// shortestPause keeps a lease of nanoseconds from being renewed without a pause.
const shortestPause = time.Millisecond

// bounded returns the result of ask, or ctx's error if ask hasn't returned some seconds
// after ctx is done. Some stores ignore ctx, such as a directory on a server that is
// gone. They must not keep the callers from a token that was obtained.
func bounded(ctx context.Context, ask func() error) error {
	answer := make(chan error, 1)
	go func() {
		err := errNoReturn
		defer func() { answer <- err }()
		err = ask()
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	timer := time.NewTimer(overdue)
	defer timer.Stop()
	select {
	case err := <-answer:
		return err
	case <-timer.C:
		return ctx.Err()
	}
}

// release frees the lease. An error means that the lease is lost or will expire:
// neither changes what was decided.
func (h *holding) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	_ = bounded(ctx, func() error { return h.lease.Release(ctx) })
}

// keepRenewed renews the lease every third of its ttl, until stop is called or total has
// passed; stop waits for the renewal under way. keepRenewed gives up once the lease is
// lost. After any other failure it tries again soon, since an outage may be over in time.
// It does the same after a quarter of the ttl without an answer, as when a connection
// drops packets.
func (h *holding) keepRenewed(ctx context.Context, total time.Duration) (stop func()) {
	ctx, cancel := context.WithTimeout(ctx, total)
	done := make(chan struct{})
	go func() {
		defer close(done)
		usual := max(h.ttl/3, shortestPause)
		for pause := usual; sleep.For(ctx, pause) == nil; {
			switch err := h.renew(ctx); {
			case err == nil:
				pause = usual
			case errors.Is(err, ErrLeaseLost):
				return
			default:
				pause = max(h.ttl/12, shortestPause)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func (h *holding) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, h.ttl/4)
	defer cancel()
	asked := time.Now()
	err := bounded(ctx, func() error { return h.lease.Renew(ctx, h.ttl) })
	switch {
	case err == nil:
		h.clock.extend(asked, h.ttl)
	case errors.Is(err, ErrLeaseLost):
		h.clock.lose()
	}
	return err
}

// leaseClock knows how long a lease of this process lasts. It uses the monotonic clock
// and the wall clock: the first stands still while a computer sleeps, the second can be
// set back. A nil clock means that there is no lease, which can't be lost.
type leaseClock struct {
	mu    sync.Mutex
	asked time.Time // when the store was last asked for the lease, or to renew it
	ttl   time.Duration
	lost  bool
}

// extend notes that the lease lasts at least ttl from asked.
func (l *leaseClock) extend(asked time.Time, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked, l.ttl = asked, ttl
}

// lose notes that the store returned ErrLeaseLost.
func (l *leaseClock) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = true
}

// held reports whether the lease lasts long enough: a request that is sent now is
// answered and saved later. A quarter of the ttl is left for that. A holder that renews
// has more: it asks every third of the ttl, and waits a quarter for the answer.
func (l *leaseClock) held() bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	age := max(now.Sub(l.asked), now.Round(0).Sub(l.asked.Round(0)))
	return !l.lost && age < l.ttl-l.ttl/4
}

type leaseClockKey struct{}

// withLeaseClock passes the clock to the refresh function, through whatever the backend
// does in between.
func withLeaseClock(ctx context.Context, l *leaseClock) context.Context {
	return context.WithValue(ctx, leaseClockKey{}, l)
}

func leaseClockOf(ctx context.Context) *leaseClock {
	l, _ := ctx.Value(leaseClockKey{}).(*leaseClock)
	return l
}

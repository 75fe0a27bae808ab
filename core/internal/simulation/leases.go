package simulation

import (
	"context"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// leases expire by the store's clock, which nothing sets.
type leases struct {
	run *run

	mu    sync.Mutex
	held  map[string]*grantedLease
	woken map[string]chan struct{} // closed when the waiters look again
}

type grantedLease struct {
	holder  *process
	expires time.Time
}

func (l *leases) acquire(p *process, key string, ttl time.Duration) (*grantedLease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.isHeld(key) && !l.run.mutant.GrantsTwice {
		return nil, core.ErrLeaseHeld
	}
	g := &grantedLease{p, time.Now().Add(ttl)}
	l.held[key] = g
	return g, nil
}

func (l *leases) isHeld(key string) bool {
	g := l.held[key]
	return g != nil && (time.Now().Before(g.expires) || l.run.mutant.NeverExpires)
}

func (l *leases) renew(g *grantedLease, key string, ttl time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[key] != g || !l.isHeld(key) {
		return core.ErrLeaseLost
	}
	g.expires = time.Now().Add(ttl)
	return nil
}

func (l *leases) release(g *grantedLease, key string) error {
	l.mu.Lock()
	if l.held[key] != g || !l.isHeld(key) {
		l.mu.Unlock()
		return core.ErrLeaseLost
	}
	delete(l.held, key)
	l.mu.Unlock()
	l.wake(key)
	return nil
}

// left returns how much longer the lease of a process lasts at least.
func (l *leases) left(p *process) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	least := endOfTime
	for _, g := range l.held {
		if g.holder == p {
			least = min(least, time.Until(g.expires))
		}
	}
	return least
}

// wake wakes the waiters for a change of key.
func (l *leases) wake(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if woken := l.woken[key]; woken != nil {
		close(woken)
		delete(l.woken, key)
	}
}

// look returns whether the lease is free. If it isn't, look also returns when it will be free,
// and a channel that is closed when a waiter should look earlier.
func (l *leases) look(key string) (free bool, expires time.Duration, woken <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.isHeld(key) {
		return true, 0, nil
	}
	if l.woken[key] == nil {
		l.woken[key] = make(chan struct{})
	}
	return false, time.Until(l.held[key].expires), l.woken[key]
}

// wait returns when changed says so or the lease is free.
func (l *leases) wait(ctx context.Context, p *process, key string, changed func() bool) error {
	for {
		free, expires, woken := l.look(key)
		if free || changed() {
			return nil
		}
		t := time.NewTimer(max(expires, time.Second))
		select {
		case <-woken:
		case <-t.C:
		case <-ctx.Done():
		case <-p.died:
		}
		t.Stop()
		if p.dead() {
			return errDead
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

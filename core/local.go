package core

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// LocalLeases is a [Leaser] for the goroutines of one process: what a backend
// needs whose store is the process itself. The zero value is ready for use.
// It frees no lease of another process and knows of none. A lease that has expired
// is forgotten when another one is acquired, whatever its key.
type LocalLeases struct {
	mu     sync.Mutex
	leases map[string]*localLease
	order  byExpiry            // the same leases
	wake   map[string]*wakeUps // of keys that somebody waits for
}

// wakeUps is how those who wait for one key are woken.
type wakeUps struct {
	channel chan struct{} // closed when they should look again
	waiters int
}

type localLease struct {
	of      *LocalLeases
	key     string
	expires time.Time // guarded by of.mu
	index   int       // in of.order
}

// byExpiry is a heap of leases, of which the first expires first.
type byExpiry []*localLease

func (h byExpiry) Len() int           { return len(h) }
func (h byExpiry) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h byExpiry) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *byExpiry) Push(x any) {
	l := x.(*localLease)
	l.index = len(*h)
	*h = append(*h, l)
}
func (h *byExpiry) Pop() any {
	last := len(*h) - 1
	l := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return l
}

// Acquire implements [Leaser], for any key: a backend may lease its own names.
func (l *LocalLeases) Acquire(ctx context.Context, key string, ttl time.Duration) (Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.removeExpired(now)
	if l.leases[key] != nil {
		return nil, ErrLeaseHeld
	}
	if l.leases == nil {
		l.leases = make(map[string]*localLease)
	}
	lease := &localLease{of: l, key: key, expires: now.Add(ttl)}
	l.leases[key] = lease
	heap.Push(&l.order, lease)
	return lease, nil
}

// removeExpired forgets the leases that nobody came back to.
func (l *LocalLeases) removeExpired(now time.Time) {
	for len(l.order) > 0 && !now.Before(l.order[0].expires) {
		l.remove(l.order[0])
	}
}

// remove forgets a lease that is held or has expired.
func (l *LocalLeases) remove(lease *localLease) {
	delete(l.leases, lease.key)
	heap.Remove(&l.order, lease.index)
}

func (l *localLease) Renew(ctx context.Context, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if !l.held() {
		return ErrLeaseLost
	}
	l.expires = time.Now().Add(ttl)
	heap.Fix(&l.of.order, l.index)
	return nil
}

func (l *localLease) Release(ctx context.Context) error {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if !l.held() {
		return ErrLeaseLost
	}
	l.of.remove(l)
	l.of.touch(l.key)
	return nil
}

func (l *localLease) held() bool {
	return l.of.leases[l.key] == l && time.Now().Before(l.expires)
}

// Touch wakes those who Wait on key, to look again. A backend calls it after
// every Save and Delete.
func (l *LocalLeases) Touch(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.touch(key)
}

func (l *LocalLeases) touch(key string) {
	if w := l.wake[key]; w != nil {
		close(w.channel)
		w.channel = make(chan struct{})
	}
}

// Wait is a [Watcher]'s Wait for a backend that calls Touch: it returns once
// changed says so, or the lease of key is free. changed is asked at first and
// after every wake-up; its error ends the wait.
func (l *LocalLeases) Wait(ctx context.Context, key string, changed func() (bool, error)) error {
	w := l.join(key)
	defer l.leave(key, w)
	for {
		wake, expires, held := l.watch(key, w)
		if !held {
			return ctx.Err()
		}
		if done, err := changed(); done || err != nil {
			return err
		}
		expiry := time.NewTimer(time.Until(expires))
		select {
		case <-wake:
		case <-expiry.C:
		case <-ctx.Done():
			expiry.Stop()
			return ctx.Err()
		}
		expiry.Stop()
	}
}

func (l *LocalLeases) join(key string) *wakeUps {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.wake[key]
	if w == nil {
		w = &wakeUps{channel: make(chan struct{})}
		if l.wake == nil {
			l.wake = make(map[string]*wakeUps)
		}
		l.wake[key] = w
	}
	w.waiters++
	return w
}

func (l *LocalLeases) leave(key string, w *wakeUps) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.waiters--; w.waiters == 0 {
		delete(l.wake, key)
	}
}

// watch is taken before changed is asked, so that no wake-up falls between.
func (l *LocalLeases) watch(key string, w *wakeUps) (wake <-chan struct{}, expires time.Time, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lease := l.leases[key]
	if lease == nil || !time.Now().Before(lease.expires) {
		return nil, time.Time{}, false
	}
	return w.channel, lease.expires, true
}

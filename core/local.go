package core

import (
	"context"
	"sync"
	"time"
)

// LocalLeases is a [Leaser] for the goroutines of one process: what a backend
// needs whose store is the process itself. The zero value is ready for use.
// It frees no lease of another process and knows of none.
type LocalLeases struct {
	mu     sync.Mutex
	leases map[string]*localLease
	wake   map[string]chan struct{} // closed when a waiter should look again
}

type localLease struct {
	of      *LocalLeases
	key     string
	expires time.Time // guarded by of.mu
}

// Acquire implements [Leaser], for any key: a backend may lease its own names.
func (l *LocalLeases) Acquire(ctx context.Context, key string, ttl time.Duration) (Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if held := l.leases[key]; held != nil && now.Before(held.expires) {
		return nil, ErrLeaseHeld
	}
	if l.leases == nil {
		l.leases = make(map[string]*localLease)
	}
	lease := &localLease{of: l, key: key, expires: now.Add(ttl)}
	l.leases[key] = lease
	return lease, nil
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
	return nil
}

func (l *localLease) Release(ctx context.Context) error {
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if !l.held() {
		return ErrLeaseLost
	}
	delete(l.of.leases, l.key)
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
	if wake := l.wake[key]; wake != nil {
		close(wake)
		delete(l.wake, key)
	}
}

// Wait is a [Watcher]'s Wait for a backend that calls Touch: it returns once
// changed says so, or the lease of key is free. changed is asked at first and
// after every wake-up; its error ends the wait.
func (l *LocalLeases) Wait(ctx context.Context, key string, changed func() (bool, error)) error {
	for {
		wake, expires, held := l.watch(key)
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

// watch is taken before changed is asked, so that no wake-up falls between.
func (l *LocalLeases) watch(key string) (wake <-chan struct{}, expires time.Time, held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lease := l.leases[key]
	if lease == nil || !time.Now().Before(lease.expires) {
		return nil, time.Time{}, false
	}
	if l.wake == nil {
		l.wake = make(map[string]chan struct{})
	}
	if l.wake[key] == nil {
		l.wake[key] = make(chan struct{})
	}
	return l.wake[key], lease.expires, true
}

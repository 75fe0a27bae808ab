package backend

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// LocalLeases is a [core.Leaser] for the goroutines of one process, for a backend whose
// store is the process itself. The zero value is ready for use. It knows no lease of
// another process. An expired lease is removed when another one is acquired, whatever its
// key.
//
//	func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
//		return backend.AcquireLocal(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
//			return b.leases.Acquire(ctx, key, ttl)
//		})
//	}
//
//	func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
//		return backend.Wait(ctx, origin.Op("wait", key), seen, b.leases.Watch(key, func() (core.Version, error) {
//			return b.version(key)
//		}))
//	}
type LocalLeases struct {
	mu     sync.Mutex
	leases map[string]*localLease
	order  byExpiry // the same leases
	wakes  Wakes
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

// Acquire implements [core.Leaser], for any key: a backend may lease its own names.
func (l *LocalLeases) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.removeExpired(now)
	if l.leases[key] != nil {
		return nil, core.ErrLeaseHeld
	}
	if l.leases == nil {
		l.leases = make(map[string]*localLease)
	}
	lease := &localLease{of: l, key: key, expires: now.Add(ttl)}
	l.leases[key] = lease
	heap.Push(&l.order, lease)
	return lease, nil
}

// removeExpired removes expired leases.
func (l *LocalLeases) removeExpired(now time.Time) {
	for len(l.order) > 0 && !now.Before(l.order[0].expires) {
		l.remove(l.order[0])
	}
}

// remove removes a lease that is held or has expired.
func (l *LocalLeases) remove(lease *localLease) {
	delete(l.leases, lease.key)
	heap.Remove(&l.order, lease.index)
}

// Renew implements [core.Lease].
func (l *localLease) Renew(ctx context.Context, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if !l.held() {
		return core.ErrLeaseLost
	}
	l.expires = time.Now().Add(ttl)
	heap.Fix(&l.of.order, l.index)
	return nil
}

// Release implements [core.Lease].
func (l *localLease) Release(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if !l.held() {
		return core.ErrLeaseLost
	}
	l.of.remove(l)
	l.of.wakes.Wake(l.key)
	return nil
}

func (l *localLease) held() bool {
	return l.of.leases[l.key] == l && time.Now().Before(l.expires)
}

// Touch tells the waiters for key to look again. A backend calls it after every Save and
// Delete.
func (l *LocalLeases) Touch(key string) { l.wakes.Wake(key) }

// Watch makes [Wait] look at the lease of key, and at the result of version: the stored
// version, or core.Absent. Wait looks at once, when Touch is called, when the lease is
// released, and when it expires.
func (l *LocalLeases) Watch(key string, version func() (core.Version, error)) Watch {
	return Watch{Place: l, Name: key, Wakes: &l.wakes, Look: func(context.Context, string) (core.Version, time.Duration, error) {
		left := l.left(key)
		stored, err := version()
		return stored, left, err
	}}
}

// left returns how much longer the lease of key lasts.
func (l *LocalLeases) left(key string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lease := l.leases[key]; lease != nil {
		return time.Until(lease.expires)
	}
	return 0
}

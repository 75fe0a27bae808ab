package core

import (
	"context"
	"time"
)

// WithLeaser returns a backend that stores in b and coordinates in l: what a
// store without leases of its own needs before several processes share it.
// The key is leased under its own name in l, so one leaser can serve several
// backends only where their keys differ.
//
// The result is an [Unwrapper] of b and a [Leaser]; b's capabilities stay
// reachable by [As], except for its [Watcher], which knows nothing of leases
// kept elsewhere. Those who wait for another's refresh look at b often, unless l
// is a Watcher, which lets them know when the lease is free.
func WithLeaser(b TokenBackend, l Leaser) TokenBackend {
	return &leased{TokenBackend: b, leaser: l}
}

type leased struct {
	TokenBackend
	leaser Leaser
}

func (b *leased) ShouldRefresh(ctx context.Context, key string, req RefreshRequest) (RefreshDecision, error) {
	return Coordinate(ctx, b, b.leaser, key, req)
}

func (b *leased) Acquire(ctx context.Context, key string, ttl time.Duration) (Lease, error) {
	return takeOrRelease(ctx, func(ctx context.Context) (Lease, error) { return b.leaser.Acquire(ctx, key, ttl) })
}

func (b *leased) Unwrap() TokenBackend { return b.TokenBackend }

// hides tells As which of the wrapped backend's capabilities don't hold here.
func (b *leased) hides(capability any) bool {
	_, watcher := capability.(*Watcher)
	return watcher
}

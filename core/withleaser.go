package core

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/late"
)

// WithLeaser returns a backend that stores in b and coordinates in l. A store without
// leases of its own needs that before several processes share it. The key is leased under
// its own name in l, so one leaser can serve several backends only if their keys differ.
//
// The result is an [Unwrapper] of b and a [Leaser]. [As] finds b's capabilities, except
// its [Watcher], which knows nothing of leases in l. A process that waits for another's
// refresh reads the record often, unless l is a Watcher, which tells it when the lease is
// free.
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
	return late.Take(ctx, func(ctx context.Context) (Lease, error) { return b.leaser.Acquire(ctx, key, ttl) })
}

func (b *leased) Unwrap() TokenBackend { return b.TokenBackend }

// hides reports whether a capability of the wrapped backend doesn't hold here.
func (b *leased) hides(capability any) bool {
	_, watcher := capability.(*Watcher)
	return watcher
}

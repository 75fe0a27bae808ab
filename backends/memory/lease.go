package memory

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Acquire implements [core.Leaser] for the goroutines that share b.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.AcquireLocal(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
		return b.leases.Acquire(ctx, key, ttl)
	})
}

// ShouldRefresh implements [core.TokenBackend]: one of the goroutines that share b
// refreshes, and the others wait.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher].
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	return backend.Wait(ctx, origin.Op("wait", key), seen, b.leases.Watch(key, func() (core.Version, error) {
		return b.version(key), nil
	}))
}

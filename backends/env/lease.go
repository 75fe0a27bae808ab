package env

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Acquire implements [core.Leaser] for the goroutines of this process.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.AcquireLocal(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
		return b.place.leases.Acquire(ctx, b.name(key), ttl)
	})
}

// ShouldRefresh implements [core.TokenBackend]: one of the goroutines of this process
// refreshes, and the others wait. Other processes that use the same dotenv file know nothing
// of that.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher] for what is saved and deleted by this process.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	return backend.Wait(ctx, origin.Op("wait", key), seen, b.place.leases.Watch(b.name(key), func() (core.Version, error) {
		_, version, err := b.current(key)
		return version, err
	}))
}

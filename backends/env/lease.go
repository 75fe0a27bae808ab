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

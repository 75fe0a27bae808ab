package env

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// Acquire implements [core.Leaser] for the goroutines of this process.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	if err := origin.Admit(ctx, "acquire", key); err != nil {
		return nil, err
	}
	held, err := b.place.leases.Acquire(ctx, b.name(key), ttl)
	if err != nil {
		return nil, origin.Fail("acquire", key, err)
	}
	return origin.Lease(key, held), nil
}

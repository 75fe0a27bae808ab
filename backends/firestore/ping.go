package firestore

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// pingName is the name of no key: it ends in the middle of an escape sequence.
const pingName = "%"

// Ping implements [core.Pinger]. Like a refresh, it takes a lease and releases it, but
// one that belongs to no key. So it shows whether permissions are missing.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error {
		return backend.TryLease(ctx, func(ctx context.Context) (core.Lease, error) {
			return backend.TakeLease(ctx, lease{b, b.placeOf(b.naming.Prefix + pingName).lease}, time.Second)
		})
	})
}

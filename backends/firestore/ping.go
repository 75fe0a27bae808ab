package firestore

import (
	"context"
	"errors"
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
		l, err := b.acquire(ctx, b.placeOf(b.naming.Prefix+pingName), time.Second)
		if err == nil {
			err = l.Release(ctx)
		}
		if errors.Is(err, core.ErrLeaseHeld) || errors.Is(err, core.ErrLeaseLost) {
			return nil // another process that calls Ping holds it
		}
		return err
	})
}

package firestore

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// pingName is the name of no key: it ends in the middle of an escape.
const pingName = "%"

// Ping implements [core.Pinger]. It takes a lease that is no key's and releases
// it, as a refresh does, so that missing permissions show.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error {
		l, err := b.acquire(ctx, b.placeOf(b.naming.Prefix+pingName), time.Second)
		if err == nil {
			err = l.Release(ctx)
		}
		if errors.Is(err, core.ErrLeaseHeld) || errors.Is(err, core.ErrLeaseLost) {
			return nil // by another who pings
		}
		return err
	})
}

package memory

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. Memory is always there: the only error is
// ctx's.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error { return nil })
}

// Probe implements [core.Prober]: what memory takes, it takes always.
func (b *Backend) Probe(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("probe", key), func() error { return nil })
}

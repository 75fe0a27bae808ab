package memory

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. Memory can always be reached: the only error is ctx's.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error { return nil })
}

// Probe implements [core.Prober]. Memory accepts every record.
func (b *Backend) Probe(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("probe", key), func() error { return nil })
}

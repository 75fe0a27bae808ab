package env

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. The variables of the process are always there. A dotenv file
// must be readable. Unless the Backend is ReadOnly, it must also be possible to replace the
// file, to write it in place, or to make it. A directory that other users can write to, or
// own, is core.ErrUnsafeDirectory.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error { return b.place.ping(b.o.ReadOnly) })
}

// Probe implements [core.Prober]. It tries the edit of a dotenv file, and whether the
// file could be written; ReadOnly is core.ErrReadOnly.
func (b *Backend) Probe(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("probe", key), func() error {
		if b.o.ReadOnly {
			return core.ErrReadOnly
		}
		return b.place.probe(b.name(key))
	})
}

package awssecrets

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher] by asking after half a second, and then less and
// less often: calls cost money and quota, and the provider's answer takes about as long
// as the first pause. The service has nothing that wakes; without Wait
// core.Coordinate would ask more often, and by trying to create the lease.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	known := seen
	return backend.Wait(ctx, origin.Op("wait", key), seen, backend.Watch{
		Place: b.Place(),
		First: 500 * time.Millisecond,
		Last:  4 * time.Second,
		Look: func(ctx context.Context, key string) (core.Version, time.Duration, error) {
			stored, err := b.version(ctx, b.name(key))
			if err != nil || stored != known {
				known = stored
				return stored, backend.Held, err
			}
			_, left, err := b.holder(ctx, b.leaseName(key))
			return stored, left, err
		},
	})
}

// version is the stored version of a record.
func (b *Backend) version(ctx context.Context, name string) (core.Version, error) {
	s, err := b.look(ctx, name)
	if err != nil || b.gone(s) {
		return core.Absent, err
	}
	return core.Version(s.current()), nil
}

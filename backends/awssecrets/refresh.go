package awssecrets

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the leases of
// Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher]. It asks the service after half a second, and then less
// and less often: calls cost money and count against a quota, and the provider's answer
// takes about as long as the first pause. The service can't notify a waiting process.
// Without Wait, core.Coordinate would ask more often, and would try to create the lease
// each time.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	w := backend.Watch{Place: b.Place(), Look: backend.TwoLooks(seen, b.version, b.left), First: 500 * time.Millisecond, Last: 4 * time.Second}
	return backend.Wait(ctx, origin.Op("wait", key), seen, w)
}

// version is the stored version of a record.
func (b *Backend) version(ctx context.Context, key string, _ core.Version) (core.Version, error) {
	s, err := b.look(ctx, b.name(key))
	if err != nil || b.gone(s) {
		return core.Absent, err
	}
	return core.Version(s.current()), nil
}

// left is how much longer the lease of a key lasts.
func (b *Backend) left(ctx context.Context, key string) (time.Duration, error) {
	_, left, err := b.holder(ctx, b.leaseName(key))
	return left, err
}

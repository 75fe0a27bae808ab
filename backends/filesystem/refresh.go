package filesystem

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher]. It looks again and again, because no notification tells
// of a process that died: at the record every 5 ms, and at its lease with every fifth
// look. A process makes at most 2,000 looks a second, so each of a thousand records is
// looked at twice a second.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	op := b.with(origin.Op("wait", key))
	return backend.Do(ctx, op, func() error {
		at, err := b.place(key)
		if err != nil {
			return err
		}
		return backend.Wait(ctx, op, seen, watch(b, at))
	})
}

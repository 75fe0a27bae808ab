package memory

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend]: one of the goroutines that
// share b refreshes, the others wait for it.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher].
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	if err := origin.Admit(ctx, "wait", key); err != nil {
		return err
	}
	err := b.leases.Wait(ctx, key, func() (bool, error) {
		b.mu.RLock()
		defer b.mu.RUnlock()
		return b.current(key) != seen, nil
	})
	return origin.Fail("wait", key, err)
}

package sql

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire. Waiters poll.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	if err := origin.Admit(ctx, "refresh", key); err != nil {
		return 0, err
	}
	return core.Coordinate(ctx, b, b, key, req)
}

package bitwarden

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ShouldRefresh implements [core.TokenBackend]. It always returns core.RefreshNow:
// Bitwarden has nothing to coordinate processes with; [core.WithLeaser] adds that.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, _ core.RefreshRequest) (core.RefreshDecision, error) {
	return backend.DoValue(ctx, origin.Op("refresh", key), func() (core.RefreshDecision, error) { return core.RefreshNow, nil })
}

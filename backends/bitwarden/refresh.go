package bitwarden

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ShouldRefresh implements [core.TokenBackend]. It answers core.RefreshNow:
// [core.WithLeaser] adds the coordination that Bitwarden has no means for.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, _ core.RefreshRequest) (core.RefreshDecision, error) {
	return backend.DoValue(ctx, origin.Op("refresh", key), func() (core.RefreshDecision, error) { return core.RefreshNow, nil })
}

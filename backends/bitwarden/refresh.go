package bitwarden

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend]. It answers core.RefreshNow:
// [core.WithLeaser] adds the coordination that Bitwarden has no means for.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	decision, err := core.Uncoordinated{}.ShouldRefresh(ctx, key, req)
	return decision, origin.Fail("refresh", key, err)
}

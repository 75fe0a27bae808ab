package memory

import (
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Keys implements [core.Lister]. It lists the records that exist when the iteration
// begins.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		b.mu.RLock()
		keys := slices.Collect(maps.Keys(b.records))
		b.mu.RUnlock()
		// The lock is not held while the loop's body runs, because the body may delete.
		slices.Values(keys)(yield)
		return nil
	})
}

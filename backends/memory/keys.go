package memory

import (
	"context"
	"iter"
	"maps"
	"slices"
)

// Keys implements [core.Lister]. It lists the records there are when the
// iteration begins.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := ctx.Err(); err != nil {
			yield("", origin.Fail("keys", "", err))
			return
		}
		b.mu.RLock()
		keys := slices.Collect(maps.Keys(b.records))
		b.mu.RUnlock()
		// The lock is not held for the loop's body: it may well delete.
		for _, key := range keys {
			if !yield(key, nil) {
				return
			}
		}
	}
}

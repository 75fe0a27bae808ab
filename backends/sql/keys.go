package sql

import (
	"context"
	"iter"
	"strings"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Keys implements [core.Lister]. It reads 500 keys at a time, and uses no connection
// while the loop's body runs.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, classified(origin.StoreOp("keys")), func(yield func(string) bool) error {
		// Keys are sorted by their bytes. So the keys with the prefix are together, after the
		// prefix itself, which is no key's name.
		for after, more := b.prefix, true; more; {
			var page []string
			err := b.attempt(ctx, func(on session) error {
				page = nil
				return on.each(ctx, b.sql.keys, []any{after}, func(scan func(...any) error) error {
					page = append(page, "")
					return scan(&page[len(page)-1])
				})
			})
			if err != nil {
				return err
			}
			for _, after = range page {
				key, ours := strings.CutPrefix(after, b.prefix)
				if !ours || !yield(key) {
					return nil
				}
			}
			more = len(page) > 0
		}
		return nil
	})
}

package sql

import (
	"context"
	"iter"
	"strings"
)

// Keys implements [core.Lister]. It reads 500 keys at a time, and holds no
// connection while the loop's body runs.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		// Keys sort by their bytes: those with the prefix stand together, after
		// the prefix itself, which is no key's.
		for after, more := b.prefix, true; more; {
			page, err := b.page(ctx, after)
			if err != nil {
				yield("", origin.Fail("keys", "", err))
				return
			}
			for _, after = range page {
				key, ours := strings.CutPrefix(after, b.prefix)
				if !ours || !yield(key, nil) {
					return
				}
			}
			more = len(page) > 0
		}
	}
}

// page is the keys of the records that follow one, as they are stored.
func (b *Backend) page(ctx context.Context, after string) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return b.column(ctx, args{"after": after}, b.sql.keys)
}

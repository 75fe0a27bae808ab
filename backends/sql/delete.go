package sql

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Delete implements [core.TokenBackend]. The row is gone when it returns, with
// one statement, unless somebody holds the lease: then the record is gone, and
// the row goes with the lease.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, b.op("delete", key), func() error {
		_, err := b.change(ctx, b.args(key), b.sql.remove...)
		return err
	})
}

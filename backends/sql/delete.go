package sql

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Delete implements [core.TokenBackend], with one statement. When it returns, the row is
// gone. If a process holds the lease, the record is gone, and the row goes with the
// lease.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, b.op("delete", key), func() error {
		_, err := b.change(ctx, b.args(key), b.sql.remove...)
		return err
	})
}

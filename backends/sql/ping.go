package sql

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. It asks the database for the table and its
// columns: what is missing is the database's own error.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, b.storeOp("ping"), func() error { return b.ping(ctx) })
}

func (b *Backend) ping(ctx context.Context) error {
	_, err := b.first(ctx, nil, b.sql.ping)
	return err
}

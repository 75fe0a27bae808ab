package sql

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. It queries the table and its columns. If one is
// missing, the error is the database's own.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, b.storeOp("ping"), func() error { return b.ping(ctx) })
}

func (b *Backend) ping(ctx context.Context) error {
	_, err := b.first(ctx, nil, b.sql.ping)
	return err
}

package sql

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. It queries the table and its columns. If one is
// missing, the error is the database's own.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, classified(origin.StoreOp("ping")), func() error { return b.ping(ctx) })
}

func (b *Backend) ping(ctx context.Context) error {
	_, err := b.first(ctx, nil, b.sql.ping)
	return err
}

// Migrate creates the table if it doesn't exist. Any number of processes may call it
// at the same time. It runs the SQL in the directory ddl, which you can also run with
// another tool.
func (b *Backend) Migrate(ctx context.Context) error {
	return backend.Do(ctx, classified(origin.StoreOp("migrate")), func() error {
		_, err := b.change(ctx, nil, b.sql.createTable)
		if err != nil && b.ping(ctx) == nil {
			// PostgreSQL's IF NOT EXISTS fails if another process creates the table at the
			// same moment. And a user who may not create tables may find one.
			return nil
		}
		return err
	})
}

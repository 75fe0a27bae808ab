package sql

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Migrate makes the table if it isn't there. Any number of processes may do
// so at once. It runs what stands in the directory ddl, which those can use
// who migrate by other means.
func (b *Backend) Migrate(ctx context.Context) error {
	return backend.Do(ctx, b.storeOp("migrate"), func() error { return b.migrate(ctx) })
}

func (b *Backend) migrate(ctx context.Context) error {
	_, err := b.change(ctx, nil, b.sql.createTable)
	if err != nil && b.ping(ctx) == nil {
		// PostgreSQL's IF NOT EXISTS fails when another makes the table at the
		// same moment; and who may not make tables may find one.
		return nil
	}
	return err
}

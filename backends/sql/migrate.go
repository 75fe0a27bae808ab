package sql

import "context"

// Migrate makes the table if it isn't there. Any number of processes may do
// so at once. It runs what stands in the directory ddl, which those can use
// who migrate by other means.
func (b *Backend) Migrate(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		err = b.migrate(ctx)
	}
	return origin.Fail("migrate", "", err)
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

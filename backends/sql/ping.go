package sql

import "context"

// Ping implements [core.Pinger]. It asks the database for the table and its
// columns: what is missing is the database's own error.
func (b *Backend) Ping(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		err = b.ping(ctx)
	}
	return origin.Fail("ping", "", err)
}

func (b *Backend) ping(ctx context.Context) error {
	_, err := b.first(ctx, nil, b.sql.ping)
	return err
}

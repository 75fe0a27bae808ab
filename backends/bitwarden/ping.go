package bitwarden

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. It lists the secrets, so that an unknown
// organization and an account without access show. It doesn't write, and so
// doesn't tell whether the account may.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error {
		_, err := b.list(ctx)
		return err
	})
}

package bitwarden

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. It lists the secrets, which fails if the organization is
// unknown or the account has no access. It doesn't write, so it doesn't tell whether the
// account may write.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error {
		_, err := b.list(ctx)
		return err
	})
}

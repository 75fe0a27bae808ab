package awssecrets

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. It asks for a secret that isn't there, which
// shows whether the service can be reached, takes the credentials, and lets them
// read secrets of the prefix. That they may write shows at the first Save.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error {
		_, err := b.value(ctx, b.naming.Prefix+pingName)
		if is[*types.ResourceNotFoundException](err) {
			return nil
		}
		return err
	})
}

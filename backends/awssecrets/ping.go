package awssecrets

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. It asks for a secret that doesn't exist. The answer
// shows whether the service can be reached, accepts the credentials, and lets them read
// secrets with the prefix. Whether they may write shows only at the first Save.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error {
		_, err := b.value(ctx, b.naming.Prefix+pingName)
		if is[*types.ResourceNotFoundException](err) {
			return nil
		}
		return err
	})
}

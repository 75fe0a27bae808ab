package awssecrets

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// Ping implements [core.Pinger]. It asks for a secret that isn't there, which
// shows whether the service can be reached, takes the credentials, and lets them
// read secrets of the prefix. That they may write shows at the first Save.
func (b *Backend) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return origin.Fail("ping", "", err)
	}
	_, err := b.value(ctx, b.prefix+pingName)
	if is[*types.ResourceNotFoundException](err) {
		err = nil
	}
	return origin.Fail("ping", "", err)
}

package awssecrets

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Delete implements [core.TokenBackend]. It deletes the secret permanently or, with
// RecoveryDays, schedules it for deletion. It doesn't remove the lease, which belongs to
// its holder.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error { return b.delete(ctx, b.name(key)) })
}

func (b *Backend) delete(ctx context.Context, name string) error {
	in := &secretsmanager.DeleteSecretInput{SecretId: &name}
	if b.window > 0 {
		in.RecoveryWindowInDays = aws.Int64(int64(b.window))
	} else {
		in.ForceDeleteWithoutRecovery = aws.Bool(true)
	}
	_, err := b.client.DeleteSecret(ctx, in)
	switch {
	case is[*types.ResourceNotFoundException](err):
		return nil
	case is[*types.InvalidRequestException](err):
		if s, unknown := b.look(ctx, name); unknown == nil && (b.gone(s) || s.scheduled) {
			return nil
		}
	}
	return err
}

package awssecrets

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// The staging labels: two of the service, and the one that marks a new version before it
// becomes the current one.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
	pending  = "graphtoken-pending"
)

// Load implements [core.TokenBackend]. A secret without a current version, as Terraform
// creates them, is core.ErrNotFound, and one without a value is core.ErrCorrupt. See also
// [ErrScheduledForDeletion].
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, origin.Op("load", key), func() (core.Record, error) { return b.load(ctx, b.name(key)) })
}

// Check implements [core.TokenBackend]. See also [ErrScheduledForDeletion].
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, origin.Op("check", key), func() (bool, error) {
		s, err := b.look(ctx, b.name(key))
		switch {
		case err != nil || b.gone(s):
			return false, err
		case s.scheduled:
			return false, ErrScheduledForDeletion
		}
		return s.current() != "", nil
	})
}

func (b *Backend) load(ctx context.Context, name string) (core.Record, error) {
	value, err := b.value(ctx, name)
	switch {
	case is[*types.ResourceNotFoundException](err):
		return core.Record{}, core.ErrNotFound
	case is[*types.InvalidRequestException](err):
		return core.Record{}, b.unreadable(ctx, name, err)
	case err != nil:
		return core.Record{}, err
	}
	rec := core.Record{
		Data:     value.SecretBinary,
		Version:  core.Version(aws.ToString(value.VersionId)),
		Modified: aws.ToTime(value.CreatedDate),
	}
	if value.SecretString != nil {
		rec.Data = []byte(*value.SecretString)
	}
	return rec, nil
}

func (b *Backend) value(ctx context.Context, id string) (*secretsmanager.GetSecretValueOutput, error) {
	value, err := b.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id, VersionStage: aws.String(current)})
	if unread, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		// If the SDK can't read an answer, its error quotes the answer and keeps a part
		// of it. That part may be the secret.
		unread.Err, unread.Snapshot = untold{unread.Err}, nil
	}
	return value, err
}

// untold hides the text of an error.
type untold struct{ err error }

func (untold) Error() string {
	return "the answer can't be read as one of Secrets Manager: perhaps a proxy sent it"
}
func (u untold) Unwrap() error { return u.err }

// unreadable is the error of Load if the service doesn't return the value of a secret.
func (b *Backend) unreadable(ctx context.Context, name string, refusal error) error {
	s, err := b.look(ctx, name)
	switch {
	case err != nil:
		return refusal
	case b.gone(s):
		return core.ErrNotFound
	case s.scheduled:
		return fmt.Errorf("%w: %w", ErrScheduledForDeletion, refusal)
	}
	return refusal
}

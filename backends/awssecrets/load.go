package awssecrets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

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

// state is what the service tells about a secret without its value. The zero state means
// that no secret has the name.
type state struct {
	exists bool
	// scheduled for deletion, at the end of a recovery window.
	scheduled bool
	// purging means deleted a moment ago, without a recovery window. The service deletes
	// it in the background, and keeps the name for some seconds.
	purging bool

	stages map[string][]string // by version; versions without a label are left out
}

// aMoment is the largest difference between now and the DeletedDate of a purging secret.
// The end of a recovery window is at least a week away. (The service's documentation
// doesn't agree on whether DeletedDate is that end or the time of the request. If it is
// the time of the request, a scheduled secret counts as purging in its first minute.)
const aMoment = time.Minute

func (b *Backend) look(ctx context.Context, name string) (state, error) {
	out, err := b.client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &name})
	if is[*types.ResourceNotFoundException](err) {
		return state{}, nil
	}
	if err != nil {
		return state{}, err
	}
	s := state{exists: true, stages: out.VersionIdsToStages}
	if out.DeletedDate != nil {
		now, err := serverTime(out.ResultMetadata)
		if err != nil {
			return state{}, err
		}
		s.purging = now.Sub(*out.DeletedDate).Abs() < aMoment
		s.scheduled = !s.purging
	}
	return s, nil
}

// gone reports whether, for this backend, the secret doesn't exist or is deleted.
func (b *Backend) gone(s state) bool {
	return !s.exists || s.purging || s.scheduled && b.window > 0
}

// current is the version that is the record. It is empty if there is none.
func (s state) current() string {
	for version := range s.stages {
		if s.has(version, current) {
			return version
		}
	}
	return ""
}

func (s state) has(version, stage string) bool { return slices.Contains(s.stages[version], stage) }

// serverTime is the time of the answer by the service's clock, in whole seconds.
func serverTime(answer middleware.Metadata) (time.Time, error) {
	now, ok := awsmiddleware.GetServerTime(answer)
	if !ok {
		return time.Time{}, errors.New("the answer of Secrets Manager has no Date header")
	}
	return now, nil
}

// is reports whether err is, or wraps, the service's exception E.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

package awssecrets

import (
	"context"
	"errors"
	"slices"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go/middleware"
)

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

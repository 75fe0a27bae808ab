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

// state is what can be known of a secret without its value. The zero state is
// that of a name nobody has.
type state struct {
	exists bool
	// scheduled for deletion, at the end of a recovery window.
	scheduled bool
	// purging: deleted without one, a moment ago. The service does it behind,
	// and keeps the name for some seconds.
	purging bool

	stages map[string][]string // by version; versions without any are left out
}

// aMoment is how close to now the DeletedDate of a purging secret is. The end of
// a recovery window is a week off at least. (Should it be the date of the
// request that the service tells, on which its pages don't agree, then a
// scheduled secret counts as purging in its first minute.)
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

// gone says that to this backend there is no secret, or none any more.
func (b *Backend) gone(s state) bool {
	return !s.exists || s.purging || s.scheduled && b.window > 0
}

// current is the version that is the record; empty where there is none.
func (s state) current() string {
	for version := range s.stages {
		if s.has(version, current) {
			return version
		}
	}
	return ""
}

func (s state) has(version, stage string) bool { return slices.Contains(s.stages[version], stage) }

// serverTime is when the service answered, by its own clock, in whole seconds.
func serverTime(answer middleware.Metadata) (time.Time, error) {
	now, ok := awsmiddleware.GetServerTime(answer)
	if !ok {
		return time.Time{}, errors.New("the service's answer has no Date")
	}
	return now, nil
}

// is says whether err is, or wraps, one of the service's exceptions.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

package awssecrets

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// A lease is a secret of its own that is there while the lease is held: its
// name can be created once, and its ARN, which ends in six characters that the
// service makes up, is its owner's alone. So whoever is late renews or deletes
// nothing but its own.
//
// A staging label of the record's secret would do without the second secret.
// But it goes with the secret when the record is deleted, and where there is no
// record yet somebody would have to make a secret for it and, when nothing
// comes of the refresh, remove it again beside those who save.
//
// The value is how many seconds the lease lasts from the creation of the
// version it stands in. Both clocks are the service's, whose answers tell the
// time in whole seconds: so others wait a second longer than the holder
// believes.

// Acquire implements [core.Leaser]. The ttl is rounded up to whole seconds, and
// one is added; a lease that nobody renews falls free within two more.
//
// The service needs some seconds to forget a lease that was released or has
// expired. Until then it counts as held.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.Acquire(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
		return b.acquire(ctx, b.leaseName(key), wholeSeconds(ttl))
	})
}

func (b *Backend) acquire(ctx context.Context, name string, ttl time.Duration) (*lease, error) {
	l, err := b.createLease(ctx, name, ttl)
	if !taken(err) {
		return l, err
	}
	holder, left, err := b.holder(ctx, name)
	switch {
	case err != nil:
		return nil, err
	case left > 0:
		return nil, core.ErrLeaseHeld
	}
	if holder != "" {
		if _, err := b.deleteLease(ctx, holder); err != nil {
			return nil, err
		}
	}
	if l, err = b.createLease(ctx, name, ttl); taken(err) {
		return nil, core.ErrLeaseHeld
	}
	return l, err
}

// taken says of an error of CreateSecret that there is a secret of that name,
// or was a moment ago.
func taken(err error) bool {
	return is[*types.ResourceExistsException](err) || is[*types.InvalidRequestException](err)
}

func (b *Backend) createLease(ctx context.Context, name string, ttl time.Duration) (*lease, error) {
	v, err := newVersion([]byte(ttl.String()))
	if err != nil {
		return nil, err
	}
	sent := time.Now()
	out, err := b.createSecret(ctx, name, v)
	if err != nil {
		return nil, err
	}
	now, err := serverTime(out.ResultMetadata)
	if err != nil {
		return nil, err
	}
	return &lease{backend: b, arn: aws.ToString(out.ARN), expires: end(now, sent, ttl)}, nil
}

// holder is the ARN of the secret that is a lease, if it can be read, and how long the
// lease lasts yet.
func (b *Backend) holder(ctx context.Context, name string) (arn string, left time.Duration, err error) {
	value, err := b.value(ctx, name)
	switch {
	case is[*types.ResourceNotFoundException](err):
		return "", 0, nil
	case is[*types.InvalidRequestException](err):
		return "", backend.Held, nil // the service hasn't forgotten it yet
	case err != nil:
		return "", 0, err
	}
	ttl, err := time.ParseDuration(aws.ToString(value.SecretString))
	if err != nil {
		return "", 0, fmt.Errorf("%w: %s is no lease", core.ErrCorrupt, name)
	}
	now, err := serverTime(value.ResultMetadata)
	over := aws.ToTime(value.CreatedDate).Add(ttl + time.Second)
	return aws.ToString(value.ARN), over.Sub(now), err
}

// deleteLease deletes the one secret with this ARN, and returns when the service
// did. It is no error if that is gone.
func (b *Backend) deleteLease(ctx context.Context, arn string) (time.Time, error) {
	out, err := b.client.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{
		SecretId:                   &arn,
		ForceDeleteWithoutRecovery: aws.Bool(true),
	})
	if err != nil {
		return time.Time{}, err
	}
	return serverTime(out.ResultMetadata)
}

type lease struct {
	backend *Backend
	arn     string

	mu       sync.Mutex
	expires  time.Time // by the service's clock
	released bool
}

func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released {
		return core.ErrLeaseLost
	}
	ttl = wholeSeconds(ttl)
	v, err := newVersion([]byte(ttl.String()))
	if err != nil {
		return err
	}
	sent := time.Now()
	out, err := l.backend.put(ctx, l.arn, v)
	switch {
	case is[*types.ResourceNotFoundException](err), is[*types.InvalidRequestException](err):
		return core.ErrLeaseLost // taken over
	case err != nil:
		return err
	}
	now, err := serverTime(out.ResultMetadata)
	if err != nil {
		return err
	}
	if !now.Before(l.expires) {
		// Nobody took it over, and yet it had been over: it mustn't come back.
		_, err := l.backend.deleteLease(ctx, l.arn)
		l.released = err == nil
		return core.ErrLeaseLost
	}
	l.expires = end(now, sent, ttl)
	return nil
}

func (l *lease) Release(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.released {
		return core.ErrLeaseLost
	}
	now, err := l.backend.deleteLease(ctx, l.arn)
	if err != nil {
		return err
	}
	l.released = true
	if !now.Before(l.expires) {
		return core.ErrLeaseLost
	}
	return nil
}

// end is when a lease is over to its holder. The service may have begun it when
// it was sent first, and answered another try.
func end(answered, sent time.Time, ttl time.Duration) time.Time {
	return answered.Add(ttl - time.Since(sent))
}

// wholeSeconds is at least ttl however the service's seconds fall.
func wholeSeconds(ttl time.Duration) time.Duration {
	return (max(0, ttl) + time.Second - 1).Truncate(time.Second) + time.Second
}

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

// A lease is a secret of its own, which exists while the lease is held. Its name can be
// created only once. Its ARN ends in six characters that the service chooses, and only
// the holder knows them. So a late holder can renew or delete nothing but its own lease.
//
// A staging label on the record's secret would need no second secret. But it would
// disappear with the secret when the record is deleted. And if there is no record yet,
// the holder would have to create a secret for it and, if the refresh fails, remove it
// again while others may be saving.
//
// The secret's value is the number of seconds that the lease lasts, counted from the
// creation of the version that has the value. Both times come from the service's clock,
// in whole seconds. So others wait one second longer than the holder believes to hold the
// lease.

// Acquire implements [core.Leaser]. The ttl is rounded up to whole seconds, and one
// second is added. A lease that isn't renewed is free at most two seconds after that.
//
// The service needs some seconds to forget a lease that was released or has expired.
// Until then it counts as held.
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

// taken reports whether the error of CreateSecret says that a secret has that name, or
// had it a moment ago.
func taken(err error) bool {
	return is[*types.ResourceExistsException](err) || is[*types.InvalidRequestException](err)
}

func (b *Backend) createLease(ctx context.Context, name string, ttl time.Duration) (*lease, error) {
	sent := time.Now()
	out, err := b.createSecret(ctx, name, newVersion([]byte(ttl.String())))
	if err != nil {
		return nil, err
	}
	now, err := serverTime(out.ResultMetadata)
	if err != nil {
		return nil, err
	}
	return &lease{backend: b, arn: aws.ToString(out.ARN), expires: end(now, sent, ttl)}, nil
}

// holder returns the ARN of the secret that is the lease, if it can be read, and how much
// longer the lease lasts.
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
		return "", 0, fmt.Errorf("%w: the secret %s should be a lease, and can't be read as one", core.ErrCorrupt, name)
	}
	now, err := serverTime(value.ResultMetadata)
	over := aws.ToTime(value.CreatedDate).Add(ttl + time.Second)
	return aws.ToString(value.ARN), over.Sub(now), err
}

// deleteLease deletes the one secret with this ARN. It returns the time of the deletion
// by the service's clock. It is no error if the secret is already deleted.
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
	sent := time.Now()
	out, err := l.backend.put(ctx, l.arn, newVersion([]byte(ttl.String())))
	switch {
	case is[*types.ResourceNotFoundException](err), is[*types.InvalidRequestException](err):
		return core.ErrLeaseLost // another process has taken the lease over
	case err != nil:
		return err
	}
	now, err := serverTime(out.ResultMetadata)
	if err != nil {
		return err
	}
	if !now.Before(l.expires) {
		// The lease had expired, and nobody took it over. It must not live again.
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

// end is the time at which the holder treats the lease as over. It is counted from the
// first sending: the service may have processed that one, and only answered a later one.
func end(answered, sent time.Time, ttl time.Duration) time.Time {
	return answered.Add(ttl - time.Since(sent))
}

// wholeSeconds is a number of seconds that is at least ttl, however the service cuts its
// times to whole seconds.
func wholeSeconds(ttl time.Duration) time.Duration {
	return (max(0, ttl) + time.Second - 1).Truncate(time.Second) + time.Second
}

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the leases of
// Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher]. It asks the service after half a second, and then less
// and less often: calls cost money and count against a quota, and the provider's answer
// takes about as long as the first pause. The service can't notify a waiting process.
// Without Wait, core.Coordinate would ask more often, and would try to create the lease
// each time.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	w := backend.Watch{Place: b.Place(), Look: backend.TwoLooks(seen, b.version, b.left), First: 500 * time.Millisecond, Last: 4 * time.Second}
	return backend.Wait(ctx, origin.Op("wait", key), seen, w)
}

// version is the stored version of a record.
func (b *Backend) version(ctx context.Context, key string, _ core.Version) (core.Version, error) {
	s, err := b.look(ctx, b.name(key))
	if err != nil || b.gone(s) {
		return core.Absent, err
	}
	return core.Version(s.current()), nil
}

// left is how much longer the lease of a key lasts.
func (b *Backend) left(ctx context.Context, key string) (time.Duration, error) {
	_, left, err := b.holder(ctx, b.leaseName(key))
	return left, err
}

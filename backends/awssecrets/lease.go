package awssecrets

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// A lease is a secret of its own, which exists while the lease is held. Its name can be
// created only once. Its ARN ends in six characters that the service chooses, so two leases
// never have the same ARN. A holder names its lease by the ARN. So a late holder can renew or
// delete nothing but its own lease.
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
		return backend.TakeLease(ctx, b.lease(key), ttl)
	})
}

func (b *Backend) lease(key string) lease { return lease{b, b.name(key) + leased} }

// lease is the secret of a lease, a [backend.LeaseObject]. Its version is the ARN, which
// stays the same when the lease is renewed. A lease that is read has no owner, because the
// secret has none: a holder knows the ARN of its own lease.
type lease struct {
	b    *Backend
	name string
}

func (l lease) Read(ctx context.Context) (backend.StoredLease, error) {
	value, err := l.b.value(ctx, l.name)
	switch {
	case is[*types.ResourceNotFoundException](err):
		return backend.StoredLease{}, core.ErrNotFound
	case is[*types.InvalidRequestException](err):
		return backend.StoredLease{}, core.ErrLeaseHeld // the service is still deleting the secret
	case err != nil:
		return backend.StoredLease{}, err
	}
	ttl, err := time.ParseDuration(aws.ToString(value.SecretString))
	if err != nil {
		return backend.StoredLease{}, fmt.Errorf("%w: the secret %s should be a lease, and can't be read as one", core.ErrCorrupt, l.name)
	}
	now, err := serverTime(value.ResultMetadata)
	over := aws.ToTime(value.CreatedDate).Add(ttl + time.Second)
	return backend.StoredLease{Version: core.Version(aws.ToString(value.ARN)), Expires: over, Now: now}, err
}

// Write creates the secret, or adds a version to the owner's. The secret of another owner
// is deleted, so that the new one has another ARN.
func (l lease) Write(ctx context.Context, owner string, ttl time.Duration, over backend.StoredLease) (backend.StoredLease, error) {
	ttl = wholeSeconds(ttl)
	v, sent := newVersion([]byte(ttl.String())), time.Now()
	if over.Owner == owner {
		out, err := l.b.put(ctx, string(over.Version), v)
		switch {
		case is[*types.ResourceNotFoundException](err), is[*types.InvalidRequestException](err):
			return backend.StoredLease{}, core.ErrLeaseLost // another process has taken the lease over
		case err != nil:
			return backend.StoredLease{}, err
		}
		return written(out.ARN, out.ResultMetadata, sent, ttl)
	}
	if over.Version != core.Absent {
		if _, err := l.Remove(ctx, over); err != nil {
			return backend.StoredLease{}, err
		}
		sent = time.Now()
	}
	out, err := l.b.createSecret(ctx, l.name, v)
	switch {
	case taken(err):
		return backend.StoredLease{}, core.ErrConflict
	case err != nil:
		return backend.StoredLease{}, err
	}
	return written(out.ARN, out.ResultMetadata, sent, ttl)
}

// written is a lease as its holder knows it. The ttl is counted from the first sending:
// the service may have processed that one, and only answered a later one.
func written(arn *string, answer middleware.Metadata, sent time.Time, ttl time.Duration) (backend.StoredLease, error) {
	now, err := serverTime(answer)
	return backend.StoredLease{Version: core.Version(aws.ToString(arn)), Expires: now.Add(ttl - time.Since(sent)), Now: now}, err
}

// Remove deletes the secret with this ARN. It is no error if the secret is already deleted.
func (l lease) Remove(ctx context.Context, stored backend.StoredLease) (time.Time, error) {
	out, err := l.b.client.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{
		SecretId:                   aws.String(string(stored.Version)),
		ForceDeleteWithoutRecovery: aws.Bool(true),
	})
	if err != nil {
		return time.Time{}, err
	}
	return serverTime(out.ResultMetadata)
}

// wholeSeconds rounds ttl up to whole seconds and adds one. So the lease lasts for ttl at
// least, although the service cuts its times to whole seconds.
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
	return backend.Wait(ctx, origin.Op("wait", key), seen, backend.Watch{
		Place: b.Place(),
		First: 500 * time.Millisecond,
		Last:  4 * time.Second,
		Look:  backend.TwoLooks(seen, b.version, backend.LeaseLeft(b.lease(key))),
	})
}

// version is the stored version of a record.
func (b *Backend) version(ctx context.Context, key string, _ core.Version) (core.Version, error) {
	s, err := b.look(ctx, b.name(key))
	if err != nil || b.gone(s) {
		return core.Absent, err
	}
	return core.Version(s.current()), nil
}

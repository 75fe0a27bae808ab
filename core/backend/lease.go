package backend

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/internal/late"
)

// Acquire is the whole of a Leaser's Acquire; take asks the store for the lease of
// op.Key. Errors of take and of the lease become the backend's, as in [Do]. If the
// context of a Renew or Release is done, the store isn't asked.
//
//	func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
//		return backend.Acquire(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
//			return b.acquire(ctx, key, ttl)
//		})
//	}
//
// A store may grant a lease after the caller has left. Nobody would release it until its
// ttl is over. So take runs with a context of its own, which ends after 30 seconds.
// Acquire returns ctx's error as soon as ctx is done, and a lease that comes later is
// released in the background.
func Acquire(ctx context.Context, op Op, take func(ctx context.Context) (core.Lease, error)) (core.Lease, error) {
	return AcquireLocal(ctx, op, func(ctx context.Context) (core.Lease, error) { return late.Take(ctx, take) })
}

// AcquireLocal is [Acquire] for a store without a network, which grants nothing to a
// caller who has left: take runs with ctx, and Acquire waits for it.
func AcquireLocal(ctx context.Context, op Op, take func(ctx context.Context) (core.Lease, error)) (core.Lease, error) {
	return DoValue(ctx, op, func() (core.Lease, error) {
		lease, err := take(ctx)
		switch {
		case err != nil:
			return nil, err
		case lease == nil:
			return nil, errors.New("neither a lease nor an error")
		}
		return &namedLease{lease: lease, op: op}, nil
	})
}

// TryLease takes a lease and releases it, for a Ping that finds out whether the store
// permits both. The lease belongs to no key. It is no error if another process, whose Ping
// runs at the same time, has it.
func TryLease(ctx context.Context, take func(ctx context.Context) (core.Lease, error)) error {
	lease, err := take(ctx)
	if err == nil {
		err = lease.Release(ctx)
	}
	if errors.Is(err, core.ErrLeaseHeld) || errors.Is(err, core.ErrLeaseLost) {
		return nil
	}
	return err
}

// namedLease is a lease whose errors name the backend and the key.
type namedLease struct {
	lease core.Lease
	op    Op
}

func (l *namedLease) Renew(ctx context.Context, ttl time.Duration) error {
	return Do(ctx, l.named("renew"), func() error { return l.lease.Renew(ctx, ttl) })
}

func (l *namedLease) Release(ctx context.Context) error {
	return Do(ctx, l.named("release"), func() error { return l.lease.Release(ctx) })
}

func (l *namedLease) named(name string) Op {
	op := l.op
	op.Name = name
	return op
}

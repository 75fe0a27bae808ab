package backend

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/internal/late"
)

// releaseTimeout bounds the release of a lease that nobody waits for any more.
const releaseTimeout = 5 * time.Second

// Acquire is the whole of a Leaser's Acquire: take asks the store for the lease of
// op.Key. What take and the lease return as errors is told as the backend's, as [Do]
// does; a lease whose Renew or Release is called with a context that is done isn't
// asked.
//
//	func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
//		return backend.Acquire(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
//			return b.acquire(ctx, key, ttl)
//		})
//	}
//
// A store may grant a lease whose caller has left before the answer came, and
// nobody would release it until its ttl is over. So take runs with a context of its
// own that ends after 30 seconds. Acquire returns ctx's error as soon as ctx is
// done, and a lease that comes after that is released in the background.
func Acquire(ctx context.Context, op Op, take func(ctx context.Context) (core.Lease, error)) (core.Lease, error) {
	return AcquireLocal(ctx, op, func(ctx context.Context) (core.Lease, error) {
		return late.Take(ctx, take, func(ctx context.Context, lease core.Lease) {
			if lease == nil {
				return
			}
			ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
			defer cancel()
			_ = lease.Release(ctx) // if that fails, the lease expires
		})
	})
}

// AcquireLocal is [Acquire] for a store that is no network away, and grants nothing
// to a caller who has left: take runs with ctx, and Acquire waits for it.
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

// namedLease is a lease whose errors say whose it is.
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

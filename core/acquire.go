package core

import (
	"context"
	"time"
)

// acquireTimeout bounds an acquisition, which no caller's context does.
const acquireTimeout = 30 * time.Second

// Acquire is a backend's whole Acquire, where the lease is in a store that
// answers over a network: take asks the store, and its errors are told as the
// backend's.
//
// A store may grant a lease whose caller has left before the answer came, and
// nobody would release it until its ttl is over. So take runs with a context of its
// own that ends after 30 seconds. Acquire returns ctx's error as soon as ctx is
// done, and a lease that comes after that is released in the background.
func (o Origin) Acquire(ctx context.Context, key string, take func(ctx context.Context) (Lease, error)) (Lease, error) {
	if err := o.Admit(ctx, "acquire", key); err != nil {
		return nil, err
	}
	lease, err := takeOrRelease(ctx, take)
	if err != nil {
		return nil, o.Fail("acquire", key, err)
	}
	return o.Lease(key, lease), nil
}

// takeOrRelease is take, detached from ctx: a lease that comes after ctx is done is
// released.
func takeOrRelease(ctx context.Context, take func(context.Context) (Lease, error)) (Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err // and nothing is asked for
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), acquireTimeout)
	type answer struct {
		lease Lease
		err   error
	}
	answers := make(chan answer) // not buffered: an answer is received, or the caller has left
	go func() {
		defer cancel()
		lease, err := take(detached)
		select {
		case answers <- answer{lease, err}:
		case <-ctx.Done():
			if err == nil && lease != nil {
				releaseLate(detached, lease)
			}
		}
	}()
	select {
	case a := <-answers:
		return a.lease, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// releaseLate releases a lease that nobody waits for any more. If that fails, the
// lease expires.
func releaseLate(ctx context.Context, lease Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	_ = lease.Release(ctx)
}

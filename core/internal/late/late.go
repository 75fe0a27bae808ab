// Package late takes a lease that must be released if its caller left before the store
// answered.
package late

import (
	"context"
	"errors"
	"time"
)

const (
	// takeTimeout bounds the call of take, because no caller's context ends it.
	takeTimeout = 30 * time.Second

	// releaseTimeout bounds the release of a lease that nobody waits for.
	releaseTimeout = 5 * time.Second
)

// errNoReturn is what the caller gets if take ends its goroutine.
var errNoReturn = errors.New("the backend ended its goroutine instead of granting or refusing the lease")

// Take returns what take returns, or ctx's error as soon as ctx is done. take runs with
// a context of its own, which ends after 30 seconds. A lease that take returns after the
// caller left is released in the background.
func Take[L interface {
	Release(ctx context.Context) error
}](ctx context.Context, take func(context.Context) (L, error)) (L, error) {
	var none L
	if err := ctx.Err(); err != nil {
		return none, err // and nothing is asked for
	}
	detached, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeTimeout)
	type answer struct {
		lease L
		err   error
	}
	answers := make(chan answer) // not buffered: an answer is received, or the caller has left
	go func() {
		defer cancel()
		a := answer{err: errNoReturn}
		defer func() {
			select {
			case answers <- a:
			case <-ctx.Done():
				if a.err == nil && any(a.lease) != nil {
					release(detached, a.lease)
				}
			}
		}()
		a.lease, a.err = take(detached)
	}()
	select {
	case a := <-answers:
		return a.lease, a.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// release releases a lease. If that fails, the lease expires.
func release(ctx context.Context, lease interface {
	Release(ctx context.Context) error
}) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	_ = lease.Release(ctx)
}

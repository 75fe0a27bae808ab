package core

import (
	"context"

	"github.com/graphtoken/graphtoken/core/internal/late"
)

// Acquire is to be found in package backend.
//
// Deprecated: see core/backend.
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
	return late.Take(ctx, take, func(ctx context.Context, lease Lease) {
		if lease == nil {
			return
		}
		ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
		defer cancel()
		_ = lease.Release(ctx) // if that fails, it expires
	})
}

package env

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// Acquire implements [core.Leaser] for the goroutines of this process.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	if err := admit(ctx, "acquire", key); err != nil {
		return nil, err
	}
	held, err := b.place.leases.Acquire(ctx, b.name(key), ttl)
	if err != nil {
		return nil, fail("acquire", key, err)
	}
	return &lease{held: held, key: key}, nil
}

// lease says in its errors which key they are about.
type lease struct {
	held core.Lease
	key  string
}

func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	if err := l.held.Renew(ctx, ttl); err != nil {
		return fail("renew", l.key, err)
	}
	return nil
}

func (l *lease) Release(ctx context.Context) error {
	if err := l.held.Release(ctx); err != nil {
		return fail("release", l.key, err)
	}
	return nil
}

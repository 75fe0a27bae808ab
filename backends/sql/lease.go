package sql

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Acquire implements [core.Leaser]. The lease is two columns of the key's row: its owner,
// and its expiry by the database's clock. Each operation of a holder is one UPDATE with
// both in its condition.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.Acquire(ctx, b.op("acquire", key), func(ctx context.Context) (core.Lease, error) {
		l := &lease{b: b, key: key, owner: rand.Text()}
		return l, l.acquire(ctx, ttl)
	})
}

// lease is a held or lost lease.
type lease struct {
	b          *Backend
	key, owner string // of this lease alone, not of its process
}

func (l *lease) acquire(ctx context.Context, ttl time.Duration) error {
	done, err := l.b.turn(ctx)
	if err != nil {
		return err
	}
	defer done()
	if held := l.b.sql.held; held != nil {
		var one int
		held, err := l.b.first(ctx, l.b.args(l.key), *held, &one)
		if err != nil {
			return err
		}
		if held {
			return core.ErrLeaseHeld
		}
	}
	switch got, err := l.b.change(ctx, l.args(ttl), l.b.sql.acquire...); {
	case err == nil && !got:
		return core.ErrLeaseHeld
	case err != nil && l.Renew(ctx, ttl) != nil: // the answer may have been lost although the lease is ours
		return err
	}
	return nil
}

// Renew implements [core.Lease].
func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.change(ctx, l.args(ttl), l.b.sql.renew)
}

// Release implements [core.Lease]. If the row has nothing but the lease, it removes the
// row.
func (l *lease) Release(ctx context.Context) error {
	return l.change(ctx, l.args(0), l.b.sql.release...)
}

func (l *lease) change(ctx context.Context, a args, statements ...statement) error {
	held, err := l.b.change(ctx, a, statements...)
	if err == nil && !held {
		err = core.ErrLeaseLost
	}
	return err
}

func (l *lease) args(ttl time.Duration) args {
	a := l.b.args(l.key)
	a["owner"], a["ttl"] = l.owner, ttl.Microseconds()
	return a
}

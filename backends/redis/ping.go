package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ErrEvicts is returned by Ping for a server that works, but may remove a refresh token
// when memory is short: its maxmemory-policy is one of allkeys-*.
var ErrEvicts = errors.New("the server may evict records")

// pingName is the name of no key: it ends in the middle of an escape sequence.
const pingName = "%"

// Ping implements [core.Pinger]. It takes and releases a lease that belongs to no key, so
// that a replica and missing permissions are found. It also asks every master for its
// eviction policy: see [ErrEvicts]. A server that doesn't tell its policy, as some
// managed ones, is assumed to be fit.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error {
		if err := b.tryLease(ctx); err != nil {
			return err
		}
		masters, err := b.masters(ctx)
		if err != nil {
			return err
		}
		for _, master := range masters {
			if err := mayEvict(ctx, master); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *Backend) tryLease(ctx context.Context) error {
	l, err := b.acquire(ctx, b.placeOf(pingName), time.Second)
	if err == nil {
		err = l.Release(ctx)
	}
	if errors.Is(err, core.ErrLeaseHeld) || errors.Is(err, core.ErrLeaseLost) {
		return nil // another process holds Ping's lease
	}
	return err
}

func mayEvict(ctx context.Context, server redis.Cmdable) error {
	answer, err := server.ConfigGet(ctx, "maxmemory-policy").Result()
	if reply := redis.Error(nil); errors.As(err, &reply) {
		return nil // CONFIG is forbidden, or unknown
	}
	if err != nil {
		return err
	}
	if policy := answer["maxmemory-policy"]; strings.HasPrefix(policy, "allkeys-") {
		return fmt.Errorf("%w: its maxmemory-policy is %s; set noeviction or volatile-*", ErrEvicts, policy)
	}
	return nil
}

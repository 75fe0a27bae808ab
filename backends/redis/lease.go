package redis

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// A lease is a key with the owner's word and an expiry; the server judges both. If the
// client had to send a script twice, the second run finds that the lease is its own. SET
// with NX couldn't tell that.
var (
	acquire = redis.NewScript(`
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`)
	renew = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
`)
	release = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', ARGV[2], '')
return 1
`)
)

// Acquire implements [core.Leaser]. The lease expires by the server's clock.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.Acquire(ctx, b.op("acquire", key), func(ctx context.Context) (core.Lease, error) {
		return b.acquire(ctx, b.place(key), ttl)
	})
}

func (b *Backend) acquire(ctx context.Context, at place, ttl time.Duration) (core.Lease, error) {
	done, err := b.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	l := &lease{client: b.client, at: at, owner: rand.Text()}
	got, err := acquire.Run(ctx, b.client, []string{at.lease}, l.owner, milliseconds(ttl)).Bool()
	if err != nil {
		return nil, err
	}
	if !got {
		return nil, core.ErrLeaseHeld
	}
	return l, nil
}

type lease struct {
	client redis.UniversalClient
	at     place
	owner  string // of this lease, not of the process, which may hold the next lease too
}

func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.whileHeld(renew.Run(ctx, l.client, []string{l.at.lease}, l.owner, milliseconds(ttl)))
}

func (l *lease) Release(ctx context.Context) error {
	return l.whileHeld(release.Run(ctx, l.client, []string{l.at.lease}, l.owner, l.at.channel))
}

func (l *lease) whileHeld(answer *redis.Cmd) error {
	held, err := answer.Bool()
	if err == nil && !held {
		return core.ErrLeaseLost
	}
	return err
}

// milliseconds rounds up, because Redis accepts no expiry of zero.
func milliseconds(ttl time.Duration) int64 {
	return max(1, int64((ttl+time.Millisecond-1)/time.Millisecond))
}

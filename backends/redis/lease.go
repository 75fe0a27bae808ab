package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// A lease is a key whose value is the owner's word, and which has an expiry. The server
// compares the word, and its clock counts. If the client had to send a script twice, the
// second run finds that the lease is its own. SET with NX couldn't find that out.
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

// ShouldRefresh implements [core.TokenBackend]: [core.Coordinate] over the server's leases.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// The pauses between the looks of a waiter that no message wakes. They are short at first,
// while the subscription begins, and then long, because messages are the usual way. But a
// message can be lost with a connection, and an ACL may forbid messages.
const (
	untilSubscribed = 50 * time.Millisecond
	maxPause        = 8 * time.Second
)

// Wait implements [core.Watcher]. It looks at the record after a message, when the lease
// expires, and about every eight seconds. After a message that tells the version of a save,
// it needn't look.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	at := b.place(key)
	return backend.Wait(ctx, b.op("wait", key), seen, backend.Watch{
		Place: b.Place(),
		Name:  at.channel,
		Look:  func(ctx context.Context, _ string) (core.Version, time.Duration, error) { return b.look(ctx, at) },
		First: untilSubscribed,
		Last:  maxPause,
		Wakes: &b.wakes,
	})
}

// look asks two questions in one script, because go-redis would open another connection for a
// pipeline.
var look = redis.NewScript(`
return {redis.call('HGET', KEYS[1], 'version'), redis.call('PTTL', KEYS[2])}
`)

// look returns the stored version of a record, and how much longer its lease lasts: a
// negative time if there is no lease.
func (b *Backend) look(ctx context.Context, at place) (core.Version, time.Duration, error) {
	done, err := b.turn(ctx)
	if err != nil {
		return "", 0, err
	}
	defer done()
	answer, err := look.Run(ctx, b.client, []string{at.record, at.lease}).Slice()
	if err != nil {
		return "", 0, err
	}
	if len(answer) != 2 {
		return "", 0, fmt.Errorf("the server answered %d things for 2", len(answer))
	}
	version, _ := answer[0].(string) // nil if nothing is stored
	left, _ := answer[1].(int64)
	return core.Version(version), time.Duration(left) * time.Millisecond, nil
}

// listen keeps one subscription for all waiters of b, for any number of keys; otherwise
// each waiter would take a connection. All requests to the server are made here, so that
// an outage holds up no waiter.
func (b *Backend) listen(ctx context.Context, n *backend.News) {
	// Its own context doesn't end before that of a command.
	subscription := b.client.Subscribe(context.WithoutCancel(ctx))
	defer subscription.Close()
	events := subscription.ChannelWithSubscriptions()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.Changed():
			come, gone := n.Names()
			// After an error, the client subscribes when it connects again.
			if len(come) > 0 {
				_ = subscription.Subscribe(ctx, come...)
			}
			if len(gone) > 0 {
				_ = subscription.Unsubscribe(ctx, gone...)
			}
		case event, ok := <-events:
			if !ok { // the client is closed
				return
			}
			switch e := event.(type) {
			case *redis.Subscription:
				if e.Kind == "subscribe" { // also over a new connection
					n.Heard(e.Channel)
				}
			case *redis.Message:
				if e.Payload == "" {
					n.Wake(e.Channel)
				} else {
					n.Saved(e.Channel, core.Version(e.Payload))
				}
			}
		}
	}
}

package redis

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ShouldRefresh implements [core.TokenBackend]: [core.Coordinate] over the server's leases.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// How long Wait goes without looking when nobody wakes it: shortly at first,
// while the subscription comes about, and then long enough not to matter.
// Messages get lost with connections, and an ACL may forbid them.
const (
	untilSubscribed = 50 * time.Millisecond
	maxPause        = 8 * time.Second
)

// Wait implements [core.Watcher]. Those who wait are woken by a message, by the
// expiry of the lease, and every few seconds. All of them only make it look again, but
// for a message that tells the version of a save.
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

// look is one script for two questions, since go-redis would open one more
// connection for a pipeline.
var look = redis.NewScript(`
return {redis.call('HGET', KEYS[1], 'version'), redis.call('PTTL', KEYS[2])}
`)

// look returns the stored version of a record and how long its lease lasts, a
// negative time where there is none.
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
	version, left := core.Absent, time.Duration(-1)
	if v, ok := answer[0].(string); ok {
		version = core.Version(v)
	}
	if ms, ok := answer[1].(int64); ok && ms >= 0 {
		left = time.Duration(ms) * time.Millisecond
	}
	return version, left, nil
}

package redis

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	if err := origin.Admit(ctx, "refresh", key); err != nil {
		return 0, err
	}
	decision, err := core.Coordinate(ctx, b, b, key, req)
	return decision, origin.Fail("refresh", key, err)
}

// How long Wait goes without looking when nobody wakes it: shortly at first,
// while the subscription comes about, and then long enough not to matter.
// Messages get lost with connections, and an ACL may forbid them.
const (
	untilSubscribed      = 50 * time.Millisecond
	firstPause, maxPause = time.Second, 8 * time.Second
)

// Wait implements [core.Watcher]. It is woken by a message, by the expiry of
// the lease, and every few seconds; all of them only make it look again.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	if err := origin.Admit(ctx, "wait", key); err != nil {
		return err
	}
	at := b.place(key)
	woken, leave := b.wakes.join(at.channel)
	defer leave()
	look := time.NewTimer(untilSubscribed)
	defer look.Stop()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		select {
		case <-woken:
		case <-look.C:
		case <-ctx.Done():
			return origin.Fail("wait", key, ctx.Err())
		}
		version, left, err := b.look(ctx, at)
		if err != nil || version != seen || left < 0 {
			return origin.Fail("wait", key, err)
		}
		look.Reset(min(pause, left+time.Millisecond))
	}
}

// look returns the stored version of a record and how long its lease lasts, a
// negative time where there is none.
// The two needn't be of one moment: a save or a release between them is only
// seen sooner.
func (b *Backend) look(ctx context.Context, at place) (core.Version, time.Duration, error) {
	var version *redis.StringCmd
	var left *redis.DurationCmd
	_, err := b.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		version = p.HGet(ctx, at.record, fieldVersion)
		left = p.PTTL(ctx, at.lease)
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return "", 0, err
	case errors.Is(version.Err(), redis.Nil):
		return core.Absent, left.Val(), left.Err()
	}
	return core.Version(version.Val()), left.Val(), left.Err()
}

package sql

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	if err := origin.Admit(ctx, "refresh", key); err != nil {
		return 0, err
	}
	return core.Coordinate(ctx, b, b, key, req)
}

// How long Wait goes without looking: shortly at first, since providers answer
// within a second, and longer where it will be woken anyway.
const (
	firstPause, lastPause = 10 * time.Millisecond, 500 * time.Millisecond
	untilListening        = 250 * time.Millisecond
	whileListening        = 5 * time.Second
)

// Wait implements [core.Watcher]. It looks from time to time, when the lease
// ends, and with Options.Listen when PostgreSQL says so. A look is one
// statement, which reads.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	if err := origin.Admit(ctx, "wait", key); err != nil {
		return err
	}
	woken, leave := b.wakes.join(news(b.prefix + key))
	defer leave()
	pause := firstPause
	if b.wakes.listen != nil {
		pause = untilListening
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for ; ; pause = min(pause*8/5, lastPause) {
		select {
		case <-woken:
		case <-timer.C:
		case <-ctx.Done():
			return origin.Fail("wait", key, ctx.Err())
		}
		version, left, err := b.look(ctx, key)
		if err != nil || version != seen || left <= 0 {
			return origin.Fail("wait", key, err)
		}
		rest := pause
		if b.wakes.live() {
			rest = whileListening
		}
		timer.Reset(min(rest, left+time.Millisecond))
	}
}

// look returns the stored version of a record and how long its lease lasts, no
// time or less where there is none.
func (b *Backend) look(ctx context.Context, key string) (core.Version, time.Duration, error) {
	var (
		stored        bool
		column, until int64 // microseconds from now
	)
	found, err := b.first(ctx, b.args(key), b.sql.look, &stored, &column, &until)
	version := core.Absent
	if found && stored {
		version = versionOf(column)
	}
	return version, time.Duration(until) * time.Microsecond, err
}

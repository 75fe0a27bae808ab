package sql

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
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
	return origin.Fail("wait", key, b.wait(ctx, key, seen))
}

func (b *Backend) wait(ctx context.Context, key string, seen core.Version) error {
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
			return ctx.Err()
		}
		select {
		case now := <-b.look(ctx, key):
			if now.err != nil || now.version != seen || now.left <= 0 {
				return now.err
			}
			rest := pause
			if b.wakes.live() {
				rest = whileListening
			}
			timer.Reset(min(rest, now.left+time.Millisecond))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// glance is what a look shows: the stored version of a record, and how long its
// lease lasts, no time or less where there is none.
type glance struct {
	version core.Version
	left    time.Duration
	err     error
}

func (b *Backend) glance(ctx context.Context, key string) glance {
	var (
		stored        bool
		version, left int64 // microseconds
	)
	found, err := b.first(ctx, b.args(key), b.sql.look, &stored, &version, &left)
	now := glance{core.Absent, time.Duration(left) * time.Microsecond, err}
	if found && stored {
		now.version = versionOf(version)
	}
	return now
}

// lookTimeout ends a look at a database that doesn't answer.
const lookTimeout = 10 * time.Second

// look looks behind the caller's back, who may leave at any moment: a driver
// closes the connection of a statement that is interrupted, and pgx 5.10 has
// been seen to fail the connection's next statement instead.
func (b *Backend) look(ctx context.Context, key string) <-chan glance {
	looked := make(chan glance, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
		defer cancel()
		done, err := turn(ctx, b.turns)
		if err != nil {
			looked <- glance{err: err}
			return
		}
		defer done()
		looked <- b.glance(ctx, key)
	}()
	return looked
}

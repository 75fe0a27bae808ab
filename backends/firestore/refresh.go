package firestore

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire. Nothing is a transaction: those may run again, and the
// provider must not be asked twice.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// How long Wait goes without looking when nobody wakes it: shortly at first,
// while the listeners come about, and then long enough to cost little.
const (
	untilListening       = 500 * time.Millisecond
	firstPause, maxPause = time.Second, 8 * time.Second
)

// Wait implements [core.Watcher]. It is woken by listeners on the record and the
// lease, which all waiters of the Backend share, by the expiry of the lease, and
// every few seconds; all of them only make it look again, with one call.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	if err := origin.Admit(ctx, "wait", key); err != nil {
		return err
	}
	at := b.place(key)
	woken, leave := b.wakes.join(at)
	defer leave()
	timer := time.NewTimer(untilListening)
	defer timer.Stop()
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		select {
		case <-woken:
		case <-timer.C:
		case <-ctx.Done():
			return origin.Fail("wait", key, ctx.Err())
		}
		version, left, err := b.look(ctx, at)
		if err != nil || version != seen || left <= 0 {
			return origin.Fail("wait", key, err)
		}
		timer.Reset(min(pause, left) + time.Millisecond)
	}
}

// look returns the stored version of a record and how long its lease lasts.
func (b *Backend) look(ctx context.Context, at place) (core.Version, time.Duration, error) {
	found, err := b.client.GetAll(ctx, []*firestore.DocumentRef{at.record, at.lease})
	if err != nil {
		return "", 0, because(ctx, err)
	}
	version := core.Absent
	if b.valueIn(found[0]) != nil {
		version = stateOf(found[0])
	}
	return version, left(found[1]), nil
}

package firestore

import (
	"context"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the leases of
// Acquire. It uses no transactions: Firestore may run a transaction again, and the
// provider must not be asked twice.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher]. Three things end a pause: listeners on the record and
// the lease, which all waiting calls share; the end of the lease; and a timer of a few
// seconds. After each, Wait looks with one call.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	return backend.Wait(ctx, origin.Op("wait", key), seen, backend.Watch{
		Place: b.Place(),
		Look:  b.look,
		First: 500 * time.Millisecond, // by then the listeners usually run
		Last:  8 * time.Second,
		Wakes: &b.wakes,
		Heard: 8 * time.Second,
	})
}

// look returns the stored version of a record and how much longer its lease lasts.
func (b *Backend) look(ctx context.Context, key string) (core.Version, time.Duration, error) {
	at := b.place(key)
	found, err := b.client.GetAll(ctx, []*firestore.DocumentRef{at.record, at.lease})
	if err != nil {
		return "", 0, err
	}
	version := core.Absent
	if b.valueIn(found[0]) != nil {
		version = stateOf(found[0])
	}
	return version, left(found[1]), nil
}

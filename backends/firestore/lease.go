package firestore

import (
	"cmp"
	"context"
	"crypto/rand"
	"sync/atomic"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Fields of a lease's document. The lease expires at the document's update time plus the
// ttl. That is compared with the time of the read: the server's clock gives both.
const (
	leaseOwner    = "owner"    // a name for this lease, not for its process, which may also hold the next lease
	leaseTTL      = "ttl"      // µs
	leaseRevision = "revision" // makes every renewal a change
)

// Acquire implements [core.Leaser]. The lease is a document of its own, which is created,
// replaced and deleted with conditions. It expires by the server's clock. Taking a free
// lease is one call, taking over an expired one three calls, and core.ErrLeaseHeld two.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.Acquire(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
		return backend.TakeLease(ctx, lease{b, b.place(key).lease}, ttl)
	})
}

// lease is the document of a lease, a [backend.LeaseObject].
type lease struct {
	b   *Backend
	doc *firestore.DocumentRef
}

func (l lease) Read(ctx context.Context) (backend.StoredLease, error) {
	found, err := l.b.get(ctx, l.doc)
	if err != nil {
		return backend.StoredLease{}, err
	}
	return leaseIn(found), nil
}

// leaseIn is the lease in a document, zero if there is no document.
func leaseIn(found *firestore.DocumentSnapshot) backend.StoredLease {
	if !found.Exists() {
		return backend.StoredLease{}
	}
	owner, _ := fieldOf(found, leaseOwner).(string)
	ttl, _ := fieldOf(found, leaseTTL).(int64)
	expires := found.UpdateTime.Add(time.Duration(ttl) * time.Microsecond)
	return backend.StoredLease{Owner: owner, Version: stateOf(found), Expires: expires, Now: found.ReadTime}
}

// Write takes two calls for a renewal: a lease that expired must not live again, even if
// nobody took it over.
func (l lease) Write(ctx context.Context, owner string, ttl time.Duration, over backend.StoredLease) (backend.StoredLease, error) {
	if over.Owner == owner {
		if found, err := l.Read(ctx); err != nil || found.Left() <= 0 {
			return found, cmp.Or(err, core.ErrLeaseLost)
		}
	}
	fields := map[string]any{leaseOwner: owner, leaseTTL: ttl.Microseconds(), leaseRevision: rand.Text()}
	updated, instead, err := l.b.put(ctx, l.doc, fields, leaseRevision, over.Version)
	if instead != nil {
		return leaseIn(instead), core.ErrConflict
	}
	return backend.StoredLease{Version: versionOf(updated), Expires: updated.Add(ttl), Now: updated}, err
}

// Remove takes two calls, because a deletion's answer doesn't tell the time.
func (l lease) Remove(ctx context.Context, stored backend.StoredLease) (time.Time, error) {
	var refusal error
	for {
		found, err := l.b.get(ctx, l.doc)
		switch {
		case err != nil:
			return time.Time{}, err
		case refusal != nil && !found.Exists():
			return found.ReadTime, nil // the client sent the deletion twice, because an answer was lost
		case stateOf(found) != stored.Version:
			return time.Time{}, core.ErrConflict
		case refusal != nil:
			return time.Time{}, refusal
		}
		_, refusal = patiently(ctx, func(ctx context.Context) (*firestore.WriteResult, error) {
			return l.doc.Delete(ctx, firestore.LastUpdateTime(found.UpdateTime))
		})
		if !refused(refusal) {
			return found.ReadTime, refusal
		}
	}
}

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
	return version, leaseIn(found[1]).Left(), nil
}

// maxWatches is the largest number of keys that are listened to at one time. A listener
// is a stream, and a connection carries a hundred streams; if it is full, all other calls
// wait. Calls for more keys than this have no listener, and look by their timer alone.
const maxWatches = 16

// listen listens to the records and leases that calls wait for.
func (b *Backend) listen(ctx context.Context, news *backend.News) {
	stops := make(map[string]context.CancelFunc) // by key
	for {
		select {
		case <-news.Changed():
		case <-ctx.Done():
			return // this also ends all listeners
		}
		come, gone := news.Names()
		for _, key := range gone {
			if stop := stops[key]; stop != nil {
				stop()
				delete(stops, key)
			}
		}
		for _, key := range come {
			if len(stops) < maxWatches {
				stops[key] = b.watch(ctx, key, news)
			}
		}
	}
}

// watch listens to the record and the lease of one key, until stop is called. Only after
// both have reported their first state is it certain that no change is missed.
func (b *Backend) watch(ctx context.Context, key string, news *backend.News) (stop context.CancelFunc) {
	ctx, stop = context.WithCancel(ctx)
	at, begun := b.place(key), new(atomic.Int32)
	for _, doc := range []*firestore.DocumentRef{at.record, at.lease} {
		go func() {
			snapshots := doc.Snapshots(ctx)
			defer snapshots.Stop()
			// The client connects again by itself. If it gives up, waiting calls still
			// look by their timer.
			for first := true; ; first = false {
				if _, err := snapshots.Next(); err != nil {
					return
				}
				if first && begun.Add(1) == 2 {
					news.Heard(key)
				} else if !first {
					news.Wake(key)
				}
			}
		}()
	}
	return stop
}

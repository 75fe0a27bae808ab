package firestore

import (
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
		return b.acquire(ctx, b.place(key), ttl)
	})
}

func (b *Backend) acquire(ctx context.Context, at place, ttl time.Duration) (*lease, error) {
	l := &lease{b: b, doc: at.lease, owner: rand.Text()}
	held, err := l.put(ctx, ttl, core.Absent)
	if err == nil && held != nil && held.Exists() && left(held) <= 0 {
		held, err = l.put(ctx, ttl, stateOf(held))
	}
	switch {
	case err != nil:
		return nil, err
	case held != nil:
		return nil, core.ErrLeaseHeld // it was held a moment ago; perhaps it is free now
	}
	return l, nil
}

// lease is a lease that is held or lost. It stores nothing that a renewal changes.
type lease struct {
	b     *Backend
	doc   *firestore.DocumentRef
	owner string
}

// Renew implements [core.Lease], with two calls: a lease that expired must not live
// again, even if nobody took it over.
func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	for {
		found, err := l.b.get(ctx, l.doc)
		if err != nil {
			return err
		}
		if !l.holds(found) {
			return core.ErrLeaseLost
		}
		instead, err := l.put(ctx, ttl, stateOf(found))
		if err != nil || instead == nil {
			return err
		}
		// Another process took the lease over in between, or another call renewed it.
	}
}

// Release implements [core.Lease], with two calls.
func (l *lease) Release(ctx context.Context) error {
	var refusal error
	var tried core.Version
	for {
		found, err := l.b.get(ctx, l.doc)
		switch {
		case err != nil:
			return err
		case refusal != nil && !found.Exists():
			return nil // the client sent the deletion twice, because an answer was lost
		case !l.holds(found):
			return core.ErrLeaseLost
		case stateOf(found) == tried:
			return refusal // then the reason wasn't another renewal
		}
		_, refusal = patiently(ctx, func(ctx context.Context) (*firestore.WriteResult, error) {
			return l.doc.Delete(ctx, firestore.LastUpdateTime(found.UpdateTime))
		})
		if !refused(refusal) {
			return refusal
		}
		tried = stateOf(found)
	}
}

func (l *lease) put(ctx context.Context, ttl time.Duration, known core.Version) (instead *firestore.DocumentSnapshot, err error) {
	fields := map[string]any{leaseOwner: l.owner, leaseTTL: ttl.Microseconds(), leaseRevision: rand.Text()}
	_, instead, err = l.b.put(ctx, l.doc, fields, leaseRevision, known)
	return instead, err
}

// holds reports whether the lease was held when its document was read.
func (l *lease) holds(found *firestore.DocumentSnapshot) bool {
	return fieldOf(found, leaseOwner) == l.owner && left(found) > 0
}

// left is how much longer the lease in a document lasted when the document was read. It
// is zero or negative if the lease is free.
func left(found *firestore.DocumentSnapshot) time.Duration {
	ttl, _ := fieldOf(found, leaseTTL).(int64)
	return time.Duration(ttl)*time.Microsecond - found.ReadTime.Sub(found.UpdateTime)
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
	return version, left(found[1]), nil
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

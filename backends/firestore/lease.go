package firestore

import (
	"context"
	"crypto/rand"
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

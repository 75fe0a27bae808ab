package awss3

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Acquire implements [core.Leaser]. A lease is an object: one conditional PutObject
// creates it, another renews it, and a conditional DeleteObject removes it. If there is
// already such an object, Acquire reads it, and replaces it if it has expired.
//
// Only the store's clock decides about that. The store writes its time, in whole seconds,
// into the object and into its answers. So a lease is never taken over before its ttl has
// passed, and up to two seconds later.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.Acquire(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
		return backend.TakeLease(ctx, b.lease(key), ttl)
	})
}

func (b *Backend) lease(key string) lease { return lease{b, b.leases.Name(key)} }

// lease is the object of a lease, a [backend.LeaseObject].
type lease struct {
	b    *Backend
	name string
}

// content is what is in the object.
type content struct {
	Owner string        `json:"owner"`
	Nonce string        `json:"nonce"`  // new for each write, so that a renewal has another ETag
	TTL   time.Duration `json:"ttl_ns"` // counted from the time when it was written
}

// stored is the lease with this content. Both times are cut off to whole seconds, so the
// lease may be one second younger than their difference.
func (c content) stored(version core.Version, written, now time.Time) backend.StoredLease {
	return backend.StoredLease{Owner: c.Owner, Version: version, Expires: written.Add(c.TTL).Add(time.Second), Now: now}
}

func (l lease) Read(ctx context.Context) (backend.StoredLease, error) {
	found, err := l.b.get(ctx, l.name, core.Absent)
	if err != nil {
		return backend.StoredLease{}, err
	}
	var c content
	if json.Unmarshal(found.data, &c) != nil { // whose error may quote the content
		return backend.StoredLease{}, fmt.Errorf("%w: the object %q should be a lease, and can't be read as one", core.ErrCorrupt, l.name)
	}
	return c.stored(found.version, found.modified, found.now), nil
}

func (l lease) Write(ctx context.Context, owner string, ttl time.Duration, over backend.StoredLease) (backend.StoredLease, error) {
	c := content{Owner: owner, Nonce: rand.Text(), TTL: max(ttl, 0)}
	data, _ := json.Marshal(c) // texts and a number, which JSON can always have
	version, at, err := l.b.put(ctx, l.name, "application/json", data, over.Version)
	if err != nil {
		return backend.StoredLease{}, err
	}
	return c.stored(version, at, at), nil
}

func (l lease) Remove(ctx context.Context, stored backend.StoredLease) (time.Time, error) {
	return l.b.remove(ctx, l.name, stored.Version)
}

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the leases of
// Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher]. S3 can't notify a waiting process, so Wait asks again and
// again: soon at first, because providers answer within a second, and then less and less
// often, because every look is charged. A look is two GetObject: one for the record, with the
// condition that its ETag is new, and one for the lease. They cost much less than the
// PutObject that Acquire would try each time.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	return backend.Wait(ctx, origin.Op("wait", key), seen, backend.Watch{
		Place: b.Place(),
		First: 100 * time.Millisecond,
		Last:  2 * time.Second,
		Look:  backend.TwoLooks(seen, b.current, backend.LeaseLeft(b.lease(key))),
	})
}

// current is the stored version of a record. known is the version seen last.
func (b *Backend) current(ctx context.Context, key string, known core.Version) (core.Version, error) {
	stored, err := b.get(ctx, b.records.Name(key), known)
	if errors.Is(err, core.ErrNotFound) {
		return core.Absent, nil
	}
	return stored.version, err
}

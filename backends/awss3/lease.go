package awss3

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

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
		l := &lease{b: b, name: b.leases.Name(key), owner: rand.Text()}
		return l, l.acquire(ctx, ttl)
	})
}

// lock is a lease as it is stored.
type lock struct {
	Owner string        `json:"owner"`  // a name for this lease, not for the process, which may also hold the next lease
	Nonce string        `json:"nonce"`  // new for each write, so that a renewal has another ETag
	TTL   time.Duration `json:"ttl_ns"` // counted from the time when it was written

	version core.Version
	written time.Time // by the store's clock, in whole seconds
}

// expired reports whether the lock is over when the store's clock shows now.
func (k lock) expired(now time.Time) bool { return k.left(now) <= 0 }

// left is how much longer the lock lasts. Both times are cut off to whole seconds, so the
// lock may be one second younger than their difference.
func (k lock) left(now time.Time) time.Duration {
	return k.written.Add(k.TTL).Add(time.Second).Sub(now)
}

// lockOf returns the lock that is stored under a name, and the time of the store's
// answer. If there is none, the error is core.ErrNotFound.
func (b *Backend) lockOf(ctx context.Context, name string) (lock, time.Time, error) {
	stored, err := b.get(ctx, name)
	if err != nil {
		return lock{}, time.Time{}, err
	}
	k := lock{version: stored.version, written: stored.modified}
	if err := json.Unmarshal(stored.data, &k); err != nil {
		// err is left out: it may quote the object's content.
		return lock{}, time.Time{}, fmt.Errorf("%w: the object %q should be a lease, and can't be read as one", core.ErrCorrupt, name)
	}
	return k, stored.now, nil
}

// lease is a lock that this process has written. By now another process may have replaced
// it.
type lease struct {
	b     *Backend
	name  string
	owner string

	mu   sync.Mutex
	lock *lock // as it was written last; nil once it is known to be gone
}

func (l *lease) acquire(ctx context.Context, ttl time.Duration) error {
	// If a lock was in the way, it may be gone when it is looked at.
	for range 3 {
		_, err := l.write(ctx, ttl, core.Absent)
		if !errors.Is(err, core.ErrConflict) {
			return err
		}
		other, now, err := l.b.lockOf(ctx, l.name)
		if errors.Is(err, core.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if !other.expired(now) {
			return core.ErrLeaseHeld
		}
		if _, err := l.write(ctx, ttl, other.version); !errors.Is(err, core.ErrConflict) {
			return err
		}
	}
	return core.ErrLeaseHeld
}

// Renew implements [core.Lease]. If the lock had expired and nobody took it over, the
// write still succeeds. The store's answer shows that it had expired, and Renew removes
// it.
func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.whileHeld(ctx, func(k lock) (time.Time, error) {
		next, err := l.write(ctx, ttl, k.version)
		if err != nil {
			return time.Time{}, err
		}
		if k.expired(next.written) {
			// If this fails, the lock expires by itself.
			_, _ = l.b.remove(ctx, l.name, next.version)
		}
		return next.written, nil
	})
}

// Release implements [core.Lease].
func (l *lease) Release(ctx context.Context) error {
	return l.whileHeld(ctx, func(k lock) (time.Time, error) {
		now, err := l.b.remove(ctx, l.name, k.version)
		if err == nil {
			l.know(nil)
		}
		return now, err
	})
}

// whileHeld changes the lock if it still belongs to this lease. It returns
// core.ErrLeaseLost if it doesn't, or if it had expired. change returns the time of the
// change by the store's clock.
func (l *lease) whileHeld(ctx context.Context, change func(lock) (time.Time, error)) error {
	l.mu.Lock()
	k := l.lock
	l.mu.Unlock()
	if k == nil {
		return core.ErrLeaseLost
	}
	for {
		now, err := change(*k)
		switch {
		case err == nil && k.expired(now):
			l.know(nil)
			return core.ErrLeaseLost
		case !errors.Is(err, core.ErrConflict):
			return err
		}
		// There is another holder's lock, or no lock, or a lock that this lease wrote
		// itself: a renewal whose answer was lost.
		stored, _, lookErr := l.b.lockOf(ctx, l.name)
		switch {
		case errors.Is(lookErr, core.ErrNotFound), lookErr == nil && stored.Owner != l.owner:
			l.know(nil)
			return core.ErrLeaseLost
		case lookErr != nil:
			return lookErr
		case stored.version == k.version:
			return err // the store doesn't accept its own ETag
		}
		k = &stored
	}
}

// write stores a lock of this lease if the stored version equals known, and returns
// core.ErrConflict otherwise.
func (l *lease) write(ctx context.Context, ttl time.Duration, known core.Version) (lock, error) {
	k := lock{Owner: l.owner, Nonce: rand.Text(), TTL: max(ttl, 0)}
	data, err := json.Marshal(k)
	if err != nil {
		return lock{}, err
	}
	k.version, k.written, err = l.b.put(ctx, l.name, "application/json", data, known)
	if err != nil {
		return lock{}, err
	}
	l.know(&k)
	return k, nil
}

func (l *lease) know(k *lock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lock = k
}

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the leases of
// Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher]. S3 can't notify anybody, so Wait asks again and again:
// soon at first, since providers answer within a second, and then less and less often,
// since every look is charged. A look is two GetObject: one for the record, with the
// condition that its ETag is new, and one for the lease. They cost much less than the
// PutObject that Acquire would try each time.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	return backend.Wait(ctx, origin.Op("wait", key), seen, backend.Watch{
		Place: b.Place(),
		First: 100 * time.Millisecond,
		Last:  2 * time.Second,
		Look:  backend.TwoLooks(seen, b.current, b.left),
	})
}

// current is the stored version of a record. known is the version seen last. It doesn't use
// HeadObject, whose errors have no body: a missing bucket would look like a missing
// object, and the SDK couldn't detect a wrong clock.
func (b *Backend) current(ctx context.Context, key string, known core.Version) (core.Version, error) {
	name := b.records.Name(key)
	in := &s3.GetObjectInput{Bucket: &b.bucket, Key: &name}
	if etag, ok := etagOf(known); ok {
		in.IfNoneMatch = &etag
	}
	out, err := b.client.GetObject(ctx, in)
	switch {
	case status(err) == http.StatusNotModified:
		return known, nil
	case missing(err):
		return core.Absent, nil
	case err != nil:
		return "", err
	}
	defer out.Body.Close()
	return versionOf(out.ETag)
}

// left is how much longer the lease of a key lasts.
func (b *Backend) left(ctx context.Context, key string) (time.Duration, error) {
	held, now, err := b.lockOf(ctx, b.leases.Name(key))
	if errors.Is(err, core.ErrNotFound) {
		return 0, nil
	}
	return held.left(now), err
}

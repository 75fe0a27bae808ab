package awss3

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Acquire implements [core.Leaser]. A lease is an object: one conditional
// PutObject makes it, another renews it, and a conditional DeleteObject removes
// it. Who finds one in the way reads it, and replaces it if it has expired.
//
// That is judged by the store's clock alone, which stamps the object and the
// answer in whole seconds. So a lease is never taken over before its ttl has
// passed, and up to two seconds after.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.Acquire(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
		l := &lease{b: b, name: b.leases.Name(key), owner: rand.Text()}
		return l, l.acquire(ctx, ttl)
	})
}

// lock is a lease as it is stored.
type lock struct {
	Owner string        `json:"owner"`  // of this lease, not of the process: it may hold the successor too
	Nonce string        `json:"nonce"`  // of this write, so that a renewal has another ETag
	TTL   time.Duration `json:"ttl_ns"` // from when it was written

	version core.Version
	written time.Time // by the store's clock, to the second
}

// expired says whether the lock has, when the store's clock shows now.
func (k lock) expired(now time.Time) bool { return k.left(now) <= 0 }

// left is how long the lock lasts yet. Both times are cut off to the second: it is
// older than their difference less one.
func (k lock) left(now time.Time) time.Duration {
	return k.written.Add(k.TTL).Add(time.Second).Sub(now)
}

// lockOf returns the lock under a name, and when the store answered. That there
// is none is core.ErrNotFound.
func (b *Backend) lockOf(ctx context.Context, name string) (lock, time.Time, error) {
	stored, err := b.get(ctx, name)
	if err != nil {
		return lock{}, time.Time{}, err
	}
	k := lock{version: stored.version, written: stored.modified}
	if err := json.Unmarshal(stored.data, &k); err != nil {
		// Without err, which may quote what is there.
		return lock{}, time.Time{}, fmt.Errorf("%w: the object %q is no lease", core.ErrCorrupt, name)
	}
	return k, stored.now, nil
}

// lease is a lock that was written, and may be lost by now.
type lease struct {
	b     *Backend
	name  string
	owner string

	mu   sync.Mutex
	lock *lock // as it was written last; nil once it is known to be gone
}

func (l *lease) acquire(ctx context.Context, ttl time.Duration) error {
	// A lock that was in the way may be gone when it is looked at.
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

// Renew implements [core.Lease]. A lock that had expired and that nobody took
// is written by it all the same, which shows in the answer, and is removed.
func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.whileHeld(ctx, func(k lock) (time.Time, error) {
		next, err := l.write(ctx, ttl, k.version)
		if err != nil {
			return time.Time{}, err
		}
		if k.expired(next.written) {
			// What fails here expires by itself.
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

// whileHeld changes the lock if it is still this lease's, and says
// core.ErrLeaseLost if it isn't, or had expired. What change returns is when
// the store did it, by its clock.
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
		// Another's lock is in the way, or none, or one of this lease's own:
		// of a renewal whose answer was lost.
		stored, _, lookErr := l.b.lockOf(ctx, l.name)
		switch {
		case errors.Is(lookErr, core.ErrNotFound), lookErr == nil && stored.Owner != l.owner:
			l.know(nil)
			return core.ErrLeaseLost
		case lookErr != nil:
			return lookErr
		case stored.version == k.version:
			return err // the store doesn't know its own ETag
		}
		k = &stored
	}
}

// write puts a lock of this lease where the version known is stored, and
// answers core.ErrConflict elsewhere.
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

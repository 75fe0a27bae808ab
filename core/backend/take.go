package backend

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// LeaseObject is an object of a store that has no leases, such as a file in a bucket or a
// document. [TakeLease] makes it a lease. The store needs writes with conditions, and a
// clock that its answers show. Errors are the client's, except for those named here.
type LeaseObject interface {
	// Read returns the lease that is stored. If there is no object, it returns the zero
	// StoredLease, or core.ErrNotFound; if the object can't be read, but shows that the
	// lease is held, core.ErrLeaseHeld; and if it is no lease, core.ErrCorrupt.
	Read(ctx context.Context) (StoredLease, error)

	// Write stores a lease that owner has for ttl from now on. If over is zero, Write
	// creates the object; otherwise it replaces the object of exactly over.Version. That
	// is a renewal if over.Owner is owner, and otherwise the lease of another owner, which
	// has expired. Write returns the lease as it is stored, and Now is the time of the
	// write or later.
	//
	// If the object isn't in the state that over says, the error is core.ErrConflict. If
	// the store then told which lease is there, Write returns that one. If an answer was
	// lost, so that the client sent a write twice, TakeLease recognizes its own lease by
	// the owner. If Write finds out that a renewal is too late, the error is
	// core.ErrLeaseLost.
	Write(ctx context.Context, owner string, ttl time.Duration, over StoredLease) (StoredLease, error)

	// Remove removes the object of exactly this version, and returns the time of the
	// removal by the store's clock. If another version is stored, the error is
	// core.ErrConflict. If there is no object, Remove returns core.ErrConflict or, where
	// the store doesn't tell, no error.
	Remove(ctx context.Context, stored StoredLease) (at time.Time, err error)
}

// StoredLease is a lease as it is stored in a [LeaseObject]. The zero StoredLease says that
// there is none.
type StoredLease struct {
	Owner   string       // a word for this lease, not for its process, which may also hold the next lease
	Version core.Version // of the object; never core.Absent
	Expires time.Time    // by the store's clock
	Now     time.Time    // of the store's clock at its answer
}

// Left returns how much longer the lease lasted at the store's answer: zero or less if it
// was free.
func (s StoredLease) Left() time.Duration { return s.Expires.Sub(s.Now) }

// LeaseLeft returns the second question of [TwoLooks]: how much longer does the lease in
// this object last? Its key is left to the object.
//
//	Look: backend.TwoLooks(seen, b.version, backend.LeaseLeft(b.lease(key))),
func LeaseLeft(object LeaseObject) func(ctx context.Context, key string) (time.Duration, error) {
	return func(ctx context.Context, _ string) (time.Duration, error) {
		stored, err := readLease(ctx, object)
		if errors.Is(err, core.ErrLeaseHeld) {
			return Held, nil
		}
		return stored.Left(), err
	}
}

func readLease(ctx context.Context, object LeaseObject) (StoredLease, error) {
	stored, err := object.Read(ctx)
	if errors.Is(err, core.ErrNotFound) {
		return StoredLease{}, nil
	}
	return stored, err
}

// TakeLease takes the lease in an object, if it is free or has expired by the store's
// clock. If another owner has it, the error is core.ErrLeaseHeld. A backend calls it in
// its Acquire:
//
//	return backend.Acquire(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
//		return backend.TakeLease(ctx, b.lease(key), ttl)
//	})
//
// No clock but the store's is used. Renew of a lease that has expired returns
// core.ErrLeaseLost, and the lease is free, also if nobody has taken it over.
func TakeLease(ctx context.Context, object LeaseObject, ttl time.Duration) (core.Lease, error) {
	l := &objectLease{object: object, owner: rand.Text(), changing: make(chan struct{}, 1)}
	if err := l.take(ctx, ttl); err != nil {
		return nil, err
	}
	return l, nil
}

// objectLease is a lease that this process has written. By now another process may have
// replaced it.
type objectLease struct {
	object LeaseObject
	owner  string

	// changing has a value during a Renew or Release, which come one after the other: the
	// answer that comes last is then the answer to the last change.
	changing chan struct{}
	stored   StoredLease // as this process wrote it last; without a version once the lease is known to be lost
}

func (l *objectLease) take(ctx context.Context, ttl time.Duration) error {
	var over StoredLease
	for range 3 { // when the lease that was in the way is read, it may be gone
		written, err := l.object.Write(ctx, l.owner, ttl, over)
		if err == nil {
			l.know(written)
		}
		if !errors.Is(err, core.ErrConflict) {
			return err
		}
		if over = written; over.Version == core.Absent {
			if over, err = readLease(ctx, l.object); err != nil {
				return err
			}
		}
		switch {
		case over.Owner == l.owner: // the write succeeded, and its answer was lost
			l.know(over)
			return nil
		case over.Left() > 0:
			return core.ErrLeaseHeld
		}
	}
	return core.ErrLeaseHeld
}

// Renew implements [core.Lease]. If the lease had expired and nobody took it over, the
// write may succeed. Its time shows that the lease had expired, and Renew removes it.
func (l *objectLease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.whileHeld(ctx, func(held StoredLease) (time.Time, error) {
		next, err := l.object.Write(ctx, l.owner, ttl, held)
		if err != nil {
			return time.Time{}, err
		}
		l.know(next)
		if !next.Now.Before(held.Expires) {
			// If this fails, the lease expires by itself.
			_, _ = l.object.Remove(ctx, next)
		}
		return next.Now, nil
	})
}

// Release implements [core.Lease].
func (l *objectLease) Release(ctx context.Context) error {
	return l.whileHeld(ctx, func(held StoredLease) (time.Time, error) {
		at, err := l.object.Remove(ctx, held)
		if err == nil {
			l.know(StoredLease{})
		}
		return at, err
	})
}

// whileHeld changes the object if the lease in it is still this one. It returns
// core.ErrLeaseLost if it isn't, or had expired. change returns the time of the change by
// the store's clock.
func (l *objectLease) whileHeld(ctx context.Context, change func(StoredLease) (time.Time, error)) error {
	select {
	case l.changing <- struct{}{}:
		defer func() { <-l.changing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for l.stored.Version != core.Absent {
		held := l.stored
		at, err := change(held)
		switch {
		case err == nil && at.Before(held.Expires):
			return nil
		case err == nil:
			l.know(StoredLease{}) // the lease had expired
		case !errors.Is(err, core.ErrConflict):
			return err
		default:
			if err := l.reread(ctx, err); err != nil {
				return err
			}
		}
	}
	return core.ErrLeaseLost
}

// reread notes the lease as it is stored after a conflict, or that it is lost. If it is
// still this one, this process wrote it itself: a renewal whose answer was lost.
func (l *objectLease) reread(ctx context.Context, conflict error) error {
	stored, err := readLease(ctx, l.object)
	switch {
	case err != nil:
		return err
	case stored.Owner != l.owner:
		stored = StoredLease{}
	case stored.Version == l.stored.Version:
		return conflict // the store doesn't accept its own version
	}
	l.know(stored)
	return nil
}

// know notes the lease as it is stored now.
func (l *objectLease) know(stored StoredLease) {
	stored.Owner = l.owner
	l.stored = stored
}

package filesystem

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Acquire implements [core.Leaser]. The lease is a file that names the holder and the
// expiry, and is locked as long as the holder lives. So the lease of a dead holder is
// free at once. The lease of a holder that lives, but doesn't renew, is free at its
// expiry; then the next holder makes a new file, since the old one stays locked. If files
// can't be locked, a lease is free only at its expiry.
//
// On Linux and macOS an expiry is measured with the clock that runs since the machine was
// booted, so that setting the wall clock doesn't matter. Saving needs no lease and
// ignores leases. If ctx ends before Acquire returns, no lease is left.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.AcquireLocal(ctx, b.with(origin.Op("acquire", key)), func(ctx context.Context) (core.Lease, error) {
		return b.acquire(ctx, key, ttl)
	})
}

func (b *Backend) acquire(ctx context.Context, key string, ttl time.Duration) (*lease, error) {
	at, err := b.place(key)
	if err != nil {
		return nil, err
	}
	// Waiters for a lease must not hold up saves.
	if err := b.checkFree(at); err != nil {
		return nil, err
	}
	l := &lease{b: b, at: at, owner: newOwner()}
	if b.mayTakeAbsent(key) && l.takeAbsent(ttl) == nil {
		return l.keep(ttl), nil
	}
	// There is a dead holder's lease file, or the lease can't be taken without the lock. If
	// many processes try at the same time, one gets the lease. The others give up as soon
	// as they see that, and don't wait until they have the lock.
	at, guard, err := b.lockKey(ctx, key, b.checkFree)
	if err != nil {
		return nil, err
	}
	defer guard.unlock()
	l.at = at
	if err := l.take(guard, ttl); err != nil {
		return nil, err
	}
	return l.keep(ttl), nil
}

// checkFree returns core.ErrLeaseHeld if the lease is held.
func (b *Backend) checkFree(at place) error {
	_, held, err := b.lookAtLease(at)
	if held && err == nil {
		return core.ErrLeaseHeld
	}
	return err
}

// lease is a held or lost lease.
type lease struct {
	b     *Backend
	at    place
	owner string
	file  *os.File // the lease file, locked as long as the lease is believed to be held
	end   *time.Timer
}

// keep keeps the lease file open, and so locked, until long after the expiry, when no
// renewal can be under way. A lease whose variable went out of scope lasts so long, too:
// the timer keeps the garbage collector from closing its file.
func (l *lease) keep(ttl time.Duration) *lease {
	l.end = time.AfterFunc(ttl+time.Minute, func() { _ = l.file.Close() })
	return l
}

// abandon closes the lease file, which unlocks it.
func (l *lease) abandon() {
	l.end.Stop()
	_ = l.file.Close()
}

// Renew implements [core.Lease].
func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.whileMine(ctx, func(_ *guard, stored *os.File, c claim) error {
		if !l.end.Reset(ttl + time.Minute) {
			return core.ErrLeaseLost // the timer has closed the file, so a clock was set back
		}
		c.Expires, c.TTL = l.b.moment().add(ttl), ttl
		return errors.Join(writeClaim(stored, c), stored.Close())
	})
}

// Release implements [core.Lease].
func (l *lease) Release(ctx context.Context) error {
	return l.whileMine(ctx, func(g *guard, stored *os.File, _ claim) error {
		_ = stored.Close() // first, because Windows doesn't remove open files
		l.abandon()
		return removeLease(g, l.at)
	})
}

// whileMine does something that only the holder may do, while nobody can take the lease
// over. It passes the lease file, opened again, and the claim in it. If the lease is lost,
// it returns ErrLeaseLost and removes the remains.
func (l *lease) whileMine(ctx context.Context, do func(*guard, *os.File, claim) error) error {
	guard, err := l.b.lock(ctx, l.at, nil)
	if err != nil {
		return err
	}
	defer guard.unlock()
	stored, c, err := openClaim(guard.leases, l.at.as, os.O_RDWR)
	if err != nil {
		return err
	}
	defer stored.Close()
	mine := c.Owner == l.owner
	if mine && l.b.moment().before(c.Expires) {
		return do(guard, stored, c)
	}
	_ = stored.Close()
	l.abandon()
	if mine {
		_ = removeLease(guard, l.at) // it has expired, and nobody has taken it
	}
	return core.ErrLeaseLost
}

func removeLease(g *guard, at place) error {
	return atomicfile.Patiently(func() error { return g.leases.Remove(at.as) })
}

// newClaim is a claim of the lease from now on.
func (l *lease) newClaim(ttl time.Duration, locked bool) claim {
	return claim{Owner: l.owner, Expires: l.b.moment().add(ttl), TTL: ttl, Locked: locked}
}

// mayTakeAbsent reports whether takeAbsent could succeed: files must be lockable, and the
// key's name must be known.
func (b *Backend) mayTakeAbsent(key string) bool {
	return !b.noFileLocks.Load() && (!b.caseMatters(key) || casing(b.casing.Load()) != casingUnknown)
}

// takeAbsent takes the lease without the record's lock if there is no lease file. If many
// try at the same time, one gets it, because a file can be linked to a name only if the
// name is free; and the others don't have to wait. Only a holder of the lock removes a
// lease file, so nobody takes a lease that is about to be taken over.
//
// After any error the caller takes the lease under the lock: there is a lease file, the
// file system has no links, or there is a fault, which is found again then.
func (l *lease) takeAbsent(ttl time.Duration) error {
	d, err := openDirectories(l.at)
	if err != nil {
		return err
	}
	defer d.close()
	t, err := makeTemp(d.helpers, l.at.stripe(), newTempName(l.at.stripe()))
	if err != nil {
		return err
	}
	defer d.helpers.Remove(t.name)
	if err = writeClaim(t.file, l.newClaim(ttl, true)); err == nil {
		err = d.helpers.Link(t.name, filepath.Join(leases, l.at.as))
	}
	if err != nil {
		_ = t.file.Close()
		return err
	}
	l.file = t.file
	return nil
}

// take makes the lease file, for a caller that has the guard. If there is a lease file, take
// removes the same file at which it has looked: nobody removes one without the guard, and
// takeAbsent makes one only if there is none.
func (l *lease) take(g *guard, ttl time.Duration) error {
	found, held, err := l.b.lookAtLease(l.at)
	switch {
	case err != nil:
		return err
	case held:
		return core.ErrLeaseHeld
	case found:
		// The old file may be locked by a process that sleeps, so it is not used again.
		// But Windows doesn't remove a file that the sleeping process has open. The new
		// claim is then written into the old file, and the sleeping process's lock on it
		// doesn't count.
		if err := g.leases.Remove(l.at.as); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return l.takeOld(g, ttl)
		}
	}
	l.file, err = createHelper(g.leases, l.at.as)
	if errors.Is(err, fs.ErrExist) {
		return core.ErrLeaseHeld // another process was quicker, without the lock
	}
	if err != nil {
		return err
	}
	if err = l.begin(ttl); err != nil {
		_ = l.file.Close()
		_ = removeLease(g, l.at)
	}
	return err
}

// begin locks the new lease file and writes the claim. Nobody is in the way, because
// lookAtLease locks no file without a claim. If files can't be locked, the expiry alone
// counts.
func (l *lease) begin(ttl time.Duration) error {
	locked := false
	if !l.b.noFileLocks.Load() {
		var err error
		locked, err = atomicfile.TryLock(l.file, true)
		if err != nil && !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
	}
	return writeClaim(l.file, l.newClaim(ttl, locked))
}

// takeOld writes a claim into a dead holder's file.
func (l *lease) takeOld(g *guard, ttl time.Duration) (err error) {
	if l.file, err = openHelper(g.leases, l.at.as, os.O_RDWR); err != nil {
		return err
	}
	if err = writeClaim(l.file, l.newClaim(ttl, false)); err != nil {
		_ = l.file.Close()
	}
	return err
}

// lookAtLease reports whether there is a lease file, and whether the lease is held. It
// needs no guard: if the file changes while it reads, the guard decides later.
func (b *Backend) lookAtLease(at place) (found, held bool, err error) {
	d, err := openDirectories(at)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	defer d.close()
	file, stored, err := openClaim(d.leases, at.as, os.O_RDONLY)
	if file == nil {
		return false, false, err
	}
	defer file.Close()
	now := b.moment()
	switch {
	case !now.before(stored.Expires), b.seenLongEnough(file.Name(), stored, now):
		return true, false, nil
	case !stored.Locked:
		return true, true, nil
	}
	// A holder that lives has locked the file exclusively. Processes that look share a lock.
	dead, err := atomicfile.TryLock(file, false)
	return true, !dead, err
}

// seenLongEnough reports whether this Backend has seen the same claim for its whole ttl, if
// only the wall clock tells the claim's expiry. Nobody holds a lease longer than its ttl
// without a new claim, even if the wall clock was set since.
func (b *Backend) seenLongEnough(path string, c claim, now moment) bool {
	if now.Boot != "" && now.Boot == c.Expires.Boot {
		return false
	}
	return b.seen.age(path, c.Owner+c.Expires.Wall.String(), now.Up) >= c.TTL
}

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher]. It looks again and again, because no notification tells
// of a process that died: at the record every 5 ms, and at its lease with every fifth
// look. A process makes at most 2,000 looks a second, so each of a thousand records is
// looked at twice a second.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	op := b.with(origin.Op("wait", key))
	return backend.Do(ctx, op, func() error {
		at, err := b.place(key)
		if err != nil {
			return err
		}
		return backend.Wait(ctx, op, seen, watch(b, at))
	})
}

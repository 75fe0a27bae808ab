package filesystem

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
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
	abandonExpired()
	// Waiters for a lease must not hold up saves.
	if err := b.checkFree(at); err != nil {
		return nil, err
	}
	l := &lease{b: b, at: at, claim: claim{owner: newOwner(), ttl: ttl}}
	switch taken, err := l.takeAbsent(ctx, key); {
	case err != nil:
		return nil, err
	case taken:
		return l.live(l.claim), nil
	}
	// There is a dead holder's lease file, or one that can't be taken without the lock.
	// If many see that the lease is free, one gets it, and the others don't have to wait
	// for the lock to see that.
	at, guard, err := b.lockKey(ctx, key, b.checkFree)
	if err != nil {
		return nil, err
	}
	defer guard.unlock()
	l.at, l.claim.expires = at, b.moment().add(ttl)
	err = l.take(ctx, guard)
	if err = cmp.Or(err, ctx.Err()); err != nil {
		if l.file != nil {
			_ = l.file.Close()
			_ = removeLease(guard.helpers, at)
		}
		return nil, err
	}
	return l.live(l.claim), nil
}

// checkFree returns core.ErrLeaseHeld if the lease is held.
func (b *Backend) checkFree(at place) error {
	held, err := b.leaseHeld(at)
	if held && err == nil {
		return core.ErrLeaseHeld
	}
	return err
}

// lease is a held or lost lease.
type lease struct {
	b    *Backend
	at   place
	file *os.File // the lease file, locked as long as the lease is believed to be held

	claim claim // its expiry is guarded by living
}

// Renew implements [core.Lease].
func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.whileMine(ctx, func(helpers *os.Root) error {
		renewed := claim{l.claim.owner, l.b.moment().add(ttl), ttl, l.claim.locked}
		if err := writeClaim(helpers, l.at, renewed); err != nil {
			return err
		}
		l.live(renewed)
		return nil
	})
}

// Release implements [core.Lease].
func (l *lease) Release(ctx context.Context) error {
	return l.whileMine(ctx, func(helpers *os.Root) error {
		l.abandon() // first, because Windows doesn't remove open files
		return removeLease(helpers, l.at)
	})
}

// whileMine does something that only the holder may do, while nobody can take the lease
// over. If the lease is lost, it returns ErrLeaseLost and removes the remains.
func (l *lease) whileMine(ctx context.Context, do func(helpers *os.Root) error) error {
	guard, err := l.b.lock(ctx, l.at)
	if err != nil {
		return err
	}
	defer guard.unlock()
	stored, err := readClaim(guard.helpers, l.at)
	mine := err == nil && stored.owner == l.claim.owner
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case mine && l.b.moment().before(stored.expires):
		return do(guard.helpers)
	}
	l.abandon()
	if mine {
		_ = removeLease(guard.helpers, l.at) // it has expired, and nobody has taken it
	}
	return core.ErrLeaseLost
}

// take makes the lease file, for a caller that has the guard. It looks at an existing file
// before it removes it. That is then the file it has looked at: without the guard nobody
// removes one, and takeAbsent makes one only if there is none.
func (l *lease) take(ctx context.Context, g guard) error {
	dir, err := g.makeLeases()
	if err != nil {
		return err
	}
	defer dir.Close()
	l.file, err = createHelper(dir, l.at.as)
	if errors.Is(err, fs.ErrExist) {
		if err := l.b.checkFree(l.at); err != nil {
			return err
		}
		// The old file may be locked by a process that sleeps, so it is not used again.
		if dir.Remove(l.at.as) != nil {
			// Windows doesn't remove a file that the sleeping process has open. The new
			// claim is then written into the old file, and the sleeping process's lock on
			// it doesn't count.
			if l.file, err = openHelper(dir, l.at.as, os.O_RDWR); err != nil {
				return err
			}
			return writeClaimTo(l.file, l.claim)
		}
		l.file, err = createHelper(dir, l.at.as)
	}
	if errors.Is(err, fs.ErrExist) {
		return core.ErrLeaseHeld // another process was quicker, without the lock
	}
	if err != nil {
		return err
	}
	if !l.b.noFileLocks.Load() {
		if l.claim.locked, err = l.tryLock(ctx); err != nil {
			return err
		}
	}
	return writeClaimTo(l.file, l.claim)
}

// tryLock locks the new lease file if files can be locked. A process that looks for a
// dead holder at that moment is in the way, but not for long.
func (l *lease) tryLock(ctx context.Context) (bool, error) {
	patience, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	for {
		ok, err := lockFileNow(l.file, true)
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return false, nil // then the expiry alone counts
		case ok || err != nil:
			return ok, err
		}
		if backend.Sleep(patience, 200*time.Microsecond) != nil {
			return false, ctx.Err()
		}
	}
}

// leaseHeld reports whether the lease is held. It needs no guard: if the file changes
// while it reads, the guard decides later.
func (b *Backend) leaseHeld(at place) (held bool, err error) {
	_, held, err = b.lookAtLease(at)
	return held, err
}

// lookAtLease also reports whether there is a lease file.
func (b *Backend) lookAtLease(at place) (found, held bool, err error) {
	file, err := openLease(at)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errReplaced):
		return false, false, nil
	case err != nil:
		return false, false, err
	}
	defer file.Close()
	stored := claimIn(file)
	now := b.moment()
	switch {
	case !now.before(stored.expires):
		return true, false, nil
	case (now.boot == "" || now.boot != stored.expires.boot) && b.seenLongEnough(at, stored, now):
		return true, false, nil
	case !stored.locked:
		return true, true, nil
	}
	// A holder that lives has it locked exclusively; others that look share it.
	dead, err := lockFileNow(file, false)
	return true, !dead, err
}

// openLease opens the lease file to be read.
func openLease(at place) (*os.File, error) {
	d, err := openDirectories(at.home)
	if err != nil {
		return nil, err
	}
	defer d.close()
	dir, err := d.openLeases()
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return openHelper(dir, at.as, os.O_RDONLY)
}

func removeLease(helpers *os.Root, at place) error {
	return atomicfile.Patiently(func() error { return helpers.Remove(filepath.Join(leases, at.as)) })
}

// living are the unexpired leases of this process. They are kept here so that a lease
// whose variable went out of scope lasts until its expiry. Otherwise the garbage
// collector would close its file, and so unlock it.
var living = struct {
	mu sync.Mutex
	of map[*lease]struct{}
}{of: make(map[*lease]struct{})}

// live adds a lease whose claim was written to the living ones.
func (l *lease) live(c claim) *lease {
	living.mu.Lock()
	defer living.mu.Unlock()
	l.claim = c
	living.of[l] = struct{}{}
	return l
}

// abandon closes the lease file, which unlocks it.
func (l *lease) abandon() {
	living.mu.Lock()
	defer living.mu.Unlock()
	delete(living.of, l)
	_ = l.file.Close()
}

// abandonExpired closes the files of leases that were neither renewed nor released. It
// does so long after their expiry, because a renewal may be under way.
func abandonExpired() {
	living.mu.Lock()
	defer living.mu.Unlock()
	for l := range living.of {
		if l.claim.expires.add(time.Minute).before(l.b.moment()) {
			delete(living.of, l)
			_ = l.file.Close()
		}
	}
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

// takeAbsent takes the lease without the record's lock if there is no lease file. If many
// try at the same time, one gets it, because a file can be linked to a name only if the
// name is free; and the others don't have to wait. Only a holder of the lock removes a
// lease file, so nobody takes a lease that is about to be taken over.
//
// It returns false if there is a lease file, which the caller must look at under the
// lock, or if the file system has no locks or no links.
func (l *lease) takeAbsent(ctx context.Context, key string) (taken bool, err error) {
	b := l.b
	if b.noFileLocks.Load() || b.caseMatters(key) && casing(b.casing.Load()) == casingUnknown {
		return false, nil
	}
	d, err := openDirectories(l.at.home)
	if err != nil {
		return false, missing(err)
	}
	defer d.close()
	dir, err := d.makeLeases()
	if err != nil {
		return false, missing(err)
	}
	defer dir.Close()
	t, err := makeTemp(d.helpers, l.at.stripe(), newTempName(l.at.stripe()))
	if err != nil {
		return false, nil // the fault is found again under the lock
	}
	defer func() {
		_ = d.helpers.Remove(t.name)
		if !taken {
			_ = t.file.Close()
		}
	}()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	l.claim.expires, l.claim.locked = b.moment().add(l.claim.ttl), true
	if err := writeClaimTo(t.file, l.claim); err != nil {
		return false, err
	}
	if err := d.helpers.Link(t.name, filepath.Join(leases, l.at.as)); err != nil {
		return false, nil // there is one by now, or the file system has no links
	}
	l.file = t.file
	return true, nil
}

// missing returns nil for a directory or file that doesn't exist yet.
func missing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

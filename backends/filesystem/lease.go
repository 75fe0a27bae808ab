package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/graphtoken/graphtoken/core"
)

// Acquire implements [core.Leaser]. The lease is a file, locked for as long as
// its holder lives, which says who holds it and until when. Thus a dead
// holder's lease is free at once; a holder's that lives, but doesn't renew, at
// its expiry, and then the successor makes a new file, since the old one stays
// locked. Where files can't be locked, a lease is free at its expiry only.
//
// Saving needs no lease and respects none.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	if err := b.admit(ctx, "acquire", key); err != nil {
		return nil, err
	}
	l, err := b.acquire(ctx, key, ttl)
	if err != nil {
		return nil, fail("acquire", key, err)
	}
	return l, nil
}

func (b *Backend) acquire(ctx context.Context, key string, ttl time.Duration) (*lease, error) {
	at, err := b.place(key)
	if err != nil {
		return nil, err
	}
	abandonExpired()
	// Those who wait for a lease must not get in the way of those who save.
	if held, err := b.leaseHeld(at); held || err != nil {
		return nil, heldOr(err)
	}
	guard, err := b.lock(ctx, at)
	if err != nil {
		return nil, err
	}
	defer guard.unlock()
	if held, err := b.leaseHeld(at); held || err != nil {
		return nil, heldOr(err)
	}
	l := &lease{b: b, key: key, at: at, claim: claim{owner: newOwner(), expires: b.now().Add(ttl)}}
	if err := l.take(ctx); err != nil {
		l.lock.Close()
		return nil, err
	}
	living.add(l)
	return l, nil
}

func heldOr(err error) error {
	if err != nil {
		return err
	}
	return core.ErrLeaseHeld
}

// lease is a held or lost lease.
type lease struct {
	b    *Backend
	key  string
	at   place
	lock *flock.Flock // on the lease file while the lease is believed held

	claim claim // its expiry is guarded by living
}

// Renew implements [core.Lease].
func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	err := l.whileMine(ctx, func() error {
		expires := l.b.now().Add(ttl)
		if err := writeClaim(l.at.lease(), claim{l.claim.owner, expires, l.claim.locked}); err != nil {
			return err
		}
		living.extend(l, expires)
		return nil
	})
	if err != nil {
		return fail("renew", l.key, err)
	}
	return nil
}

// Release implements [core.Lease].
func (l *lease) Release(ctx context.Context) error {
	err := l.whileMine(ctx, func() error {
		l.abandon() // first, because Windows removes no open file
		return remove(l.at.lease())
	})
	if err != nil {
		return fail("release", l.key, err)
	}
	return nil
}

// whileMine does what only the holder may, while nobody can take the lease
// over, or returns ErrLeaseLost and clears away what is left of it.
func (l *lease) whileMine(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	guard, err := l.b.lock(ctx, l.at)
	if err != nil {
		return err
	}
	defer guard.unlock()
	stored, err := readClaim(l.at.lease())
	mine := err == nil && stored.owner == l.claim.owner
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case mine && l.b.now().Before(stored.expires):
		return do()
	}
	l.abandon()
	if mine {
		_ = remove(l.at.lease()) // expired, and nobody wanted it
	}
	return core.ErrLeaseLost
}

// take makes the lease file. The caller holds the guard and knows that the
// lease is free, whatever file is there.
func (l *lease) take(ctx context.Context) error {
	path := l.at.lease()
	// The old file may be locked by one who sleeps, and is not reused.
	err := os.Remove(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		// Windows removes no file that the sleeper has open. The new claim
		// goes into the old file then, and the lock on it, which is the
		// sleeper's, doesn't count.
		l.lock = flock.New(path)
		return writeClaim(path, l.claim)
	}
	l.lock = flock.New(path, flock.SetFlag(os.O_RDWR|os.O_CREATE))
	for {
		err = nil
		if !l.b.noFileLocks.Load() {
			l.claim.locked, err = l.tryLock(ctx)
		}
		if err == nil {
			err = writeClaim(path, l.claim)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := makeDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
}

// tryLock locks the new lease file, where files can be locked. Whoever looks
// for a dead holder in that moment is in the way, but not for long.
func (l *lease) tryLock(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	ok, err := l.lock.TryLockContext(ctx, 200*time.Microsecond)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, context.DeadlineExceeded) {
		return false, nil // then the expiry alone counts
	}
	return ok, err
}

// leaseHeld reports whether somebody holds the lease. It needs no guard: what
// it reads while the file changes hands is settled under the guard.
func (b *Backend) leaseHeld(at place) (bool, error) {
	stored, err := readClaim(at.lease())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !b.now().Before(stored.expires):
		return false, nil
	case !stored.locked:
		return true, nil
	}
	// A holder that lives has it locked; those who only look share it.
	look := flock.New(at.lease(), flock.SetFlag(os.O_RDONLY))
	defer look.Close()
	dead, err := look.TryRLock()
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return !dead, err
}

// claim is what a lease file says: "<owner> <expiry in ns since 1970> <locked
// or unlocked>". It is written under the guard, over the one before and of the
// same length.
type claim struct {
	owner   string
	expires time.Time
	locked  bool // the holder has the file locked; else the expiry alone counts
}

// claimOffset leaves out the byte that is locked on Windows, where nobody else
// could read it.
const claimOffset = 1

func writeClaim(path string, c claim) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	kind := "unlocked"
	if c.locked {
		kind = "locked  "
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%s %020d %s\n", c.owner, c.expires.UnixNano(), kind), claimOffset)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

// readClaim returns an expired claim for a file that holds none: its maker
// died before it wrote, or is about to write.
func readClaim(path string) (claim, error) {
	f, err := openToRead(path)
	if err != nil {
		return claim{}, err
	}
	defer f.Close()
	var buf [128]byte
	n, _ := f.ReadAt(buf[:], claimOffset)
	fields := strings.Fields(string(buf[:n]))
	if len(fields) != 3 {
		return claim{}, nil
	}
	ns, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return claim{}, nil
	}
	return claim{owner: fields[0], expires: time.Unix(0, ns), locked: fields[2] == "locked"}, nil
}

// living are the unexpired leases of this process. They are remembered so that
// one whose variable went out of scope lasts until its expiry: otherwise the
// garbage collector would close, and so unlock, its file.
var living = leaseSet{of: make(map[*lease]struct{})}

type leaseSet struct {
	mu sync.Mutex
	of map[*lease]struct{}
}

func (s *leaseSet) add(l *lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of[l] = struct{}{}
}

func (s *leaseSet) extend(l *lease, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.claim.expires = expires
}

// abandon closes the lease file, and with it unlocks it.
func (l *lease) abandon() {
	living.mu.Lock()
	defer living.mu.Unlock()
	delete(living.of, l)
	_ = l.lock.Close()
}

// abandonExpired closes the files of leases that were neither renewed nor
// released, long after nobody needs them: a renewal may be under way.
func abandonExpired() {
	living.mu.Lock()
	defer living.mu.Unlock()
	for l := range living.of {
		if l.b.now().Sub(l.claim.expires) > time.Minute {
			delete(living.of, l)
			_ = l.lock.Close()
		}
	}
}

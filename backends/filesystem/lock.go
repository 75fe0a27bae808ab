package filesystem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"time"

	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/core/backend"
)

// guard is the short lock under which a record and its lease file change. It is no lease.
// Nothing is fsynced under it if that can be avoided: a save that was prepared needs it
// for a comparison and a rename.
type guard struct {
	*directories        // of the place it was taken for, until unlock
	temp         string // the holder's own name among the helpers, for a temporary file
	unlock       func()
}

// lockPatience limits the wait for a lock whose holder neither finishes nor dies, such as
// a process that was stopped in the middle of a save. Its lock can't be broken: when it
// is continued, it would replace what was saved meanwhile.
const lockPatience = 30 * time.Second

// lockKey is lock for the key's place. Only an existing directory tells whether two names
// are one for it, and so which name the key has.
func (b *Backend) lockKey(ctx context.Context, key string, worth func(place) error) (place, *guard, error) {
	for {
		name := b.fileName(key)
		at, err := b.placeOf(name)
		if err != nil {
			return place{}, nil, err
		}
		g, err := b.lock(ctx, at, worth)
		if err != nil {
			return place{}, nil, err
		}
		if b.caseMatters(key) {
			err = b.lookAtCase()
		}
		if err == nil && b.fileName(key) == name {
			return at, g, nil
		}
		g.unlock()
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return place{}, nil, err
		}
	}
}

// lock takes the lock of the place's stripe. It makes the directories that don't exist.
// It gives up once worth, unless it is nil, returns an error while lock waits.
func (b *Backend) lock(ctx context.Context, at place, worth func(place) error) (*guard, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, &fs.PathError{
		Op: "lock", Path: lockFile(at.home, at.stripe()), Err: fmt.Errorf("still held after %v: %w", lockPatience, os.ErrDeadlineExceeded),
	})
	defer cancel()
	// The goroutines of this Backend wait in a queue of their own first, which is fair and
	// costs no system call.
	type queue struct {
		b      *Backend
		stripe int
	}
	done, err := backend.Turn(ctx, queue{b, at.stripe()}, 1)
	if err != nil {
		return nil, context.Cause(ctx)
	}
	g, err := b.poll(ctx, at, worth)
	if err != nil {
		done()
		return nil, err
	}
	unlock := g.unlock
	g.unlock = func() {
		unlock()
		done()
	}
	return g, nil
}

// poll tries to lock, at once and then less and less often. File locks could wait by
// themselves, but not for a context.
func (b *Backend) poll(ctx context.Context, at place, worth func(place) error) (*guard, error) {
	const first, last = 50 * time.Microsecond, 4 * time.Millisecond
	tries := &lockTries{b: b, at: at, owner: newOwner()}
	defer tries.close()
	for pause := first; ; pause = min(pause*2, last) {
		filesLock := !b.noFileLocks.Load()
		g, err := tries.next()
		switch {
		case g != nil:
			return g, nil
		case errors.Is(err, fs.ErrNotExist):
			err = makeHelpers(at.home, !b.noFileLocks.Load())
		case errors.Is(err, errors.ErrUnsupported) && filesLock: // also if another call has found that out meanwhile
			b.noFileLocks.Store(true)
			err = nil
		case err == nil && worth != nil:
			err = worth(at)
		}
		if err != nil {
			return nil, err
		}
		if backend.Sleep(ctx, pause/2+rand.N(pause)) != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// lockTries are the tries to take one lock. The directories and the lock file stay open from
// one try to the next, because many processes may be trying, each of them again and again.
// After an error they are opened again, and also if the directories were replaced meanwhile:
// what is saved in the old ones is lost.
type lockTries struct {
	b     *Backend
	at    place
	owner string

	d    *directories
	lock fileLock
}

// next returns nil if another holder has the lock. The error is fs.ErrNotExist if a
// directory is missing.
func (l *lockTries) next() (*guard, error) {
	waited := l.d != nil
	if !waited {
		d, err := openDirectories(l.at)
		if err != nil {
			return nil, err
		}
		l.d = d
	}
	unlock, err := l.b.lockStripe(&l.lock, l.d.helpers, l.at.stripe(), l.owner)
	if unlock != nil && waited && !l.d.areNamed() {
		unlock()
		l.close()
		return nil, nil
	}
	if unlock == nil {
		if err != nil {
			l.close()
		}
		return nil, notReplaced(err)
	}
	d := l.d
	l.d = nil // the guard's
	return &guard{directories: d, temp: ownTempName(l.at.stripe(), l.owner), unlock: func() {
		unlock()
		d.close()
	}}, nil
}

// close closes what the tries have opened, unless a guard has it by now.
func (l *lockTries) close() {
	l.lock.close()
	if l.d != nil {
		l.d.close()
		l.d = nil
	}
}

// lockStripe tries once to take a stripe's lock. It returns nil if another holder has it.
func (b *Backend) lockStripe(l *fileLock, helpers *os.Root, stripe int, owner string) (unlock func(), err error) {
	if b.noFileLocks.Load() {
		return b.makeHeld(helpers, stripe, owner)
	}
	return l.try(helpers, lockName(stripe))
}

// notReplaced returns nil if the error says that a file has been replaced, made or removed
// meanwhile. The caller then tries again.
func notReplaced(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, atomicfile.ErrReplaced) || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// fileLock locks by the operating system, which unlocks when the holder dies.
//
// Lock files may be removed: programs that clean up old, empty files do that. A lock on a
// removed file is useless, because others look for another file. So a process that has
// locked a file also shares a lock on the directory, and checks then that the file still
// has its name; and a process makes lock files only while it has the directory's lock for
// itself. So all that hold a lock at the same moment have found the same file.
type fileLock struct {
	file *os.File // open from one try to the next
}

// try returns nil if another holder has the lock.
func (l *fileLock) try(helpers *os.Root, name string) (unlock func(), err error) {
	if l.file == nil {
		if l.file, err = openHelper(helpers, name, os.O_RDWR); errors.Is(err, fs.ErrNotExist) {
			l.file, err = makeLockFile(helpers, name)
		}
		if err != nil {
			return nil, err
		}
	}
	if locked, err := atomicfile.TryLock(l.file, true); !locked {
		return nil, err
	}
	dir, err := openLocked(helpers, false)
	if dir == nil {
		l.close()
		return nil, err
	}
	if err := atomicfile.StillNamed(helpers, name, l.file); err != nil {
		_ = dir.Close()
		l.close()
		return nil, err
	}
	file := l.file
	l.file = nil
	return func() {
		_ = file.Close()
		_ = dir.Close()
	}, nil
}

// close unlocks the file of a try that failed.
func (l *fileLock) close() {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

// openLocked opens the directory and locks it. It returns nil if another process is in the
// way. A directory that can't be locked is returned, too.
func openLocked(helpers *os.Root, exclusive bool) (*os.File, error) {
	dir, err := helpers.Open(".")
	if err != nil {
		return nil, atomicfile.Located(helpers, err)
	}
	if ok, err := lockDirectory(dir, exclusive); !ok && err == nil {
		_ = dir.Close()
		return nil, nil
	}
	return dir, nil
}

// makeLockFile makes a missing lock file. It returns atomicfile.ErrReplaced if any lock is
// held right now.
func makeLockFile(helpers *os.Root, name string) (*os.File, error) {
	dir, err := openLocked(helpers, true)
	if err != nil {
		return nil, err
	}
	if dir == nil {
		return nil, atomicfile.ErrReplaced
	}
	defer dir.Close()
	return createHelper(helpers, name)
}

// makeLockFiles makes all lock files in a new directory. A process that makes one later
// has to wait until no lock is held.
func makeLockFiles(helpers *os.Root) error {
	for stripe := range stripes {
		f, err := createHelper(helpers, lockName(stripe))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		_ = f.Close()
	}
	return nil
}

// brokenAfter is how long an unchanged lock file is believed if its existence is the
// lock. No save takes nearly as long.
const brokenAfter = 10 * time.Second

// started is the time from which breakDead measures.
var started = time.Now()

// makeHeld locks by making a file that must not exist. A lock that hasn't changed for
// brokenAfter, by the waiter's clock, is broken, and its holder's temporary file is
// removed with it. If the holder lives, its rename finds no file, and fails instead of
// replacing what was saved meanwhile.
func (b *Backend) makeHeld(helpers *os.Root, stripe int, owner string) (unlock func(), err error) {
	held := lockName(stripe) + ".held"
	f, err := createHelper(helpers, held)
	if errors.Is(err, fs.ErrExist) {
		return nil, b.breakDead(helpers, stripe, held)
	}
	if err != nil {
		return nil, err
	}
	if err = errors.Join(writeClaim(f, claim{Owner: owner}), f.Close()); err != nil {
		helpers.Remove(held)
		return nil, err
	}
	return func() { removeIf(helpers, held, owner) }, nil
}

// breakDead breaks the lock of a dead holder, for the next try.
func (b *Backend) breakDead(helpers *os.Root, stripe int, held string) error {
	f, holder, err := openClaim(helpers, held, os.O_RDONLY)
	if f == nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// A holder that has just made the file isn't named in it yet.
	name := cmp.Or(holder.Owner, info.ModTime().String())
	if b.seen.age(f.Name(), name, time.Since(started)) >= brokenAfter {
		_ = f.Close() // first, because Windows doesn't rename open files
		helpers.Remove(ownTempName(stripe, holder.Owner))
		removeIf(helpers, held, holder.Owner)
	}
	return nil
}

// removeIf removes the lock if it is still owner's. It renames the file first: if several
// processes break a lock, one of them gets the file, and sees the owner in it.
func removeIf(helpers *os.Root, held, owner string) {
	aside := held + "." + newOwner()
	if helpers.Rename(held, aside) != nil {
		return
	}
	if f, holder, _ := openClaim(helpers, aside, os.O_RDONLY); f != nil {
		_ = f.Close()
		if holder.Owner != owner {
			// Another process broke the lock before, and a third process holds it. Its file
			// gets the name back, unless a fourth process has made another file.
			_ = helpers.Link(aside, held)
		}
	}
	helpers.Remove(aside)
}

// newOwner returns a name that nobody else has.
func newOwner() string {
	return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
}

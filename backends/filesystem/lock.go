package filesystem

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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

// lockKey is lockWhile for the key's place. Only an existing directory tells whether two names
// are one for it, and so which name the key has.
func (b *Backend) lockKey(ctx context.Context, key string, worth func(place) error) (place, guard, error) {
	for {
		name := b.fileName(key)
		at, err := b.placeOf(name)
		if err != nil {
			return place{}, guard{}, err
		}
		g, err := b.lockWhile(ctx, at, worth)
		if err != nil {
			return place{}, guard{}, err
		}
		if b.caseMatters(key) {
			err = b.lookAtCase()
		}
		if err == nil && b.fileName(key) == name {
			return at, g, nil
		}
		g.unlock()
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return place{}, guard{}, err
		}
	}
}

// lock takes the lock of the place's stripe. It makes the directory if it doesn't exist.
func (b *Backend) lock(ctx context.Context, at place) (guard, error) {
	return b.lockWhile(ctx, at, nil)
}

// lockWhile is lock, but gives up once worth, unless it is nil, returns an error while it
// waits.
func (b *Backend) lockWhile(ctx context.Context, at place, worth func(place) error) (guard, error) {
	patience := &fs.PathError{Op: "lock", Path: lockFile(at.home, at.stripe()), Err: fmt.Errorf("still held after %v: %w", lockPatience, os.ErrDeadlineExceeded)}
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, patience)
	defer cancel()
	g, err := b.takeLock(ctx, at, worth)
	if errors.Is(err, context.DeadlineExceeded) && context.Cause(ctx) == error(patience) {
		err = patience
	}
	return g, err
}

func (b *Backend) takeLock(ctx context.Context, at place, worth func(place) error) (guard, error) {
	// First comes this Backend's own queue, which is fair and costs nothing.
	type queue struct {
		b      *Backend
		stripe int
	}
	stripe, exclusive := at.stripe(), b.noFileLocks.Load()
	done, err := backend.Turn(ctx, queue{b, stripe}, 1)
	if err != nil {
		return guard{}, err
	}
	lock := lockOf(at.home, stripe, exclusive)
	defer func() { lock.close() }()
	g, err := poll(ctx, func() (guard, bool, error) {
		g, ok, err := lock.try()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return guard{}, false, makeHelpers(at.home, !exclusive)
		case errors.Is(err, errors.ErrUnsupported) && !exclusive:
			exclusive = true
			b.noFileLocks.Store(true)
			lock.close()
			lock = lockOf(at.home, stripe, exclusive)
			return guard{}, false, nil
		case !ok && err == nil && worth != nil:
			err = worth(at)
		}
		return g, ok, err
	})
	if err != nil {
		done()
		return guard{}, err
	}
	unlock := g.unlock
	g.unlock = func() {
		unlock()
		done()
	}
	return g, nil
}

// stripeLock is the lock of a stripe: try tries once to take it, and close ends the tries.
type stripeLock interface {
	try() (guard, bool, error)
	close()
}

func lockOf(home string, stripe int, exclusive bool) stripeLock {
	if exclusive {
		return &exclusiveFile{home: home, stripe: stripe, owner: newOwner()}
	}
	return &fileLock{home: home, name: lockName(stripe), temp: newTempName(stripe)}
}

// poll asks try, at once and then less and less often, until it succeeds,
// fails or ctx is done. File locks could wait by themselves, but not for a
// context.
func poll(ctx context.Context, try func() (guard, bool, error)) (guard, error) {
	const first, last = 50 * time.Microsecond, 4 * time.Millisecond
	for pause := first; ; pause = min(pause*2, last) {
		g, ok, err := try()
		if ok || err != nil {
			return g, err
		}
		if err := backend.Sleep(ctx, pause/2+rand.N(pause)); err != nil {
			return guard{}, err
		}
	}
}

// fileLock locks by the operating system, which unlocks when the holder dies.
//
// Lock files may be removed: programs that clean up old, empty files do that. A lock on a
// removed file is useless, because others look for another file. So a process that holds
// a lock also shares a lock on the directory, which it takes first; and a process makes
// lock files only while it has the directory's lock for itself. So all that hold a lock
// at the same moment have found the same file.
type fileLock struct {
	home, name string
	temp       string

	// Open from one try to the next; the directory isn't locked in between.
	d    *directories
	dir  *os.File
	file *os.File
}

func (l *fileLock) try() (guard, bool, error) {
	if err := l.open(); err != nil {
		l.close()
		return guard{}, false, err
	}
	ok, err := l.lock()
	if err != nil {
		l.close()
		return guard{}, false, notReplaced(err)
	}
	if !ok {
		return guard{}, false, nil
	}
	held := *l
	l.d, l.dir, l.file = nil, nil, nil
	return guard{directories: held.d, temp: l.temp, unlock: held.close}, true, nil
}

// lock locks the directory, shared, and the file, or neither.
func (l *fileLock) lock() (ok bool, err error) {
	if ok, err := lockDirectoryNow(l.dir, false); !ok && err == nil {
		return false, nil
	}
	if l.file == nil {
		if l.file, err = openLockFile(l.d.helpers, l.dir, l.name); err != nil {
			return false, err
		}
	}
	ok, err = lockFileNow(l.file, true)
	switch {
	case err != nil:
		return false, err
	case !ok:
		return false, unlockDirectory(l.dir)
	}
	return true, stillNamed(l.d.helpers, l.name, l.file)
}

func (l *fileLock) open() (err error) {
	if l.d == nil {
		if l.d, err = openDirectories(l.home); err != nil {
			return err
		}
	}
	if l.dir == nil {
		if l.dir, err = l.d.helpers.Open("."); err != nil {
			return atomicfile.Located(l.d.helpers, err)
		}
	}
	return nil
}

// close unlocks.
func (l *fileLock) close() {
	_ = l.file.Close() // of a nil file, an error
	_ = l.dir.Close()
	if l.d != nil {
		l.d.close()
	}
	l.d, l.dir, l.file = nil, nil, nil
}

// openLockFile opens a lock file, and makes it if it doesn't exist. Once it is locked,
// its kind is checked.
func openLockFile(root *os.Root, dir *os.File, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDWR|openNow, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = makeLockFile(root, dir, name)
	}
	return f, orPlanted(root, name, err)
}

// notReplaced is nil for a file that has been replaced, or removed: the caller tries
// again.
func notReplaced(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errReplaced) || errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// makeLockFile makes a missing lock file and returns it, with the directory shared again.
// It returns errReplaced if any lock is held right now.
func makeLockFile(root *os.Root, dir *os.File, name string) (*os.File, error) {
	if ok, err := lockDirectoryNow(dir, true); !ok && err == nil {
		return nil, errReplaced
	}
	f, err := createHelper(root, name)
	if err != nil {
		return nil, err
	}
	// For a moment the directory is unlocked, and the file can be replaced. The caller
	// checks that once everything is locked.
	if ok, err := lockDirectoryNow(dir, false); !ok && err == nil {
		f.Close()
		return nil, errReplaced
	}
	return f, nil
}

// makeLockFiles makes all lock files in a new directory. A process that makes one later
// has to wait until no lock is held.
func makeLockFiles(root *os.Root) error {
	for stripe := range stripes {
		f, err := createHelper(root, lockName(stripe))
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

// exclusiveFile locks by making a file that must not exist. A lock that hasn't changed
// for brokenAfter, by the waiter's clock, is broken, and its holder's temporary file is
// removed with it. If the holder lives, its rename finds no file, and fails instead of
// replacing what was saved meanwhile.
type exclusiveFile struct {
	home   string
	stripe int
	owner  string

	seen  string // the holder at the last try
	since time.Time
}

func (l *exclusiveFile) try() (guard, bool, error) {
	d, err := openDirectories(l.home)
	if err != nil {
		return guard{}, false, err
	}
	held := lockName(l.stripe) + ".held"
	if made, err := l.make(d.helpers, held); !made || err != nil {
		d.close()
		return guard{}, false, err
	}
	return guard{directories: d, temp: ownTempName(l.stripe, l.owner), unlock: func() {
		removeIf(d.helpers, held, l.owner)
		d.close()
	}}, true, nil
}

func (l *exclusiveFile) close() {}

// make makes the file, or breaks the lock of a dead holder for the next try.
func (l *exclusiveFile) make(root *os.Root, held string) (made bool, err error) {
	f, err := createHelper(root, held)
	if err == nil {
		_, err = f.WriteString(l.owner)
		if err = errors.Join(err, f.Close()); err != nil {
			root.Remove(held)
		}
		return err == nil, err
	}
	if !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	holder, err := readHelper(root, held)
	switch {
	case err != nil:
		return false, notReplaced(err)
	case l.since.IsZero() || holder != l.seen:
		l.seen, l.since = holder, time.Now()
	case time.Since(l.since) >= brokenAfter:
		root.Remove(ownTempName(l.stripe, l.seen))
		removeIf(root, held, l.seen)
		l.since = time.Time{}
	}
	return false, nil
}

// readHelper reads a small file of the helpers.
func readHelper(root *os.Root, name string) (string, error) {
	f, err := openHelper(root, name, os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 256))
	return string(data), err
}

// removeIf removes the lock if it is still owner's. It moves it aside first: of several
// that break a lock, one gets it, and sees its owner.
func removeIf(root *os.Root, held, owner string) {
	aside := held + "." + newOwner()
	if root.Rename(held, aside) != nil {
		return
	}
	if got, err := readHelper(root, aside); err == nil && got != owner {
		// Another process broke it before us, and a third one holds it: give it back,
		// unless yet another was quicker.
		_ = root.Link(aside, held)
	}
	root.Remove(aside)
}

// newOwner is a name that nobody else has.
func newOwner() string {
	return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
}

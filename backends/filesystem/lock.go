package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/graphtoken/graphtoken/core"
)

// guard is the short lock under which a record, its temporary and its lease
// file change. It is no lease: who saves holds it for the length of one save.
type guard struct {
	temp   string // the holder's own, for the next record
	unlock func()
}

// lockPatience bounds the wait for a lock whose holder neither finishes nor
// dies, such as a process that was stopped in the middle of a save. Its lock
// can't be broken: it would go on where it stood, and replace what was saved
// meanwhile.
const lockPatience = 30 * time.Second

// lock takes the lock of the place's stripe, and makes the directory for it if
// it is missing.
func (b *Backend) lock(ctx context.Context, at place) (guard, error) {
	stripe := at.stripe()
	path := lockFile(at.dir, stripe)
	patience := &fs.PathError{Op: "lock", Path: path, Err: fmt.Errorf("still held after %v: %w", lockPatience, os.ErrDeadlineExceeded)}
	ctx, cancel := context.WithTimeoutCause(ctx, lockPatience, patience)
	defer cancel()

	// First this Backend's own line, which is fair and costs nothing.
	queue := b.queues[stripe]
	select {
	case queue <- struct{}{}:
	case <-ctx.Done():
		return guard{}, cause(ctx)
	}
	exclusive := b.noFileLocks.Load()
	try := lockOf(at.dir, stripe, exclusive)
	g, err := poll(ctx, func() (guard, bool, error) {
		g, ok, err := try()
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return guard{}, false, makeDir(filepath.Dir(path))
		case errors.Is(err, errors.ErrUnsupported) && !exclusive:
			exclusive = true
			b.noFileLocks.Store(true)
			try = lockOf(at.dir, stripe, exclusive)
			return guard{}, false, nil
		}
		return g, ok, err
	})
	if err != nil {
		<-queue
		return guard{}, err
	}
	unlock := g.unlock
	g.unlock = func() {
		unlock()
		<-queue
	}
	return g, nil
}

// lockOf returns what tries once to take the lock of a stripe.
func lockOf(dir string, stripe int, exclusive bool) func() (guard, bool, error) {
	path, temp := lockFile(dir, stripe), tempFile(dir, stripe)
	if exclusive {
		return tryExclusiveFile(path, temp)
	}
	return tryFileLock(path, temp)
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
		if sleep(ctx, pause/2+rand.N(pause)) != nil {
			return guard{}, cause(ctx)
		}
	}
}

// cause is ctx's error, or lock's own where its patience ended.
func cause(ctx context.Context) error {
	var patience *fs.PathError
	if err := context.Cause(ctx); errors.As(err, &patience) && errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return ctx.Err()
}

// tryFileLock locks by the operating system, which unlocks when the holder
// dies. The holders of one lock share a temporary, so that each save clears
// away what a killed one left.
func tryFileLock(path, temp string) func() (guard, bool, error) {
	return func() (guard, bool, error) {
		lock := flock.New(path)
		ok, err := lock.TryLock()
		if !ok || err != nil {
			return guard{}, false, err
		}
		return guard{temp: temp, unlock: func() { _ = lock.Close() }}, true, nil
	}
}

// brokenAfter is how long an unchanged lock of existence is believed. No save
// takes nearly as long.
const brokenAfter = 10 * time.Second

// tryExclusiveFile locks by making a file that must not exist. A lock seen
// unchanged for brokenAfter, by the clock of the one who waits, is broken, and
// its holder's temporary removed with it: should the holder live, its rename
// finds nothing, and fails instead of replacing what was saved meanwhile.
func tryExclusiveFile(path, temp string) func() (guard, bool, error) {
	path += ".held"
	owner := newOwner()
	var seen string
	var since time.Time
	return func() (guard, bool, error) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			_, err = f.WriteString(owner)
			if closeErr := f.Close(); err == nil {
				err = closeErr
			}
			if err != nil {
				os.Remove(path)
				return guard{}, false, err
			}
			return guard{temp: temp + "." + owner, unlock: func() { removeIf(path, owner) }}, true, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return guard{}, false, err
		}
		holder, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return guard{}, false, nil
		case err != nil:
			return guard{}, false, err
		case since.IsZero() || string(holder) != seen:
			seen, since = string(holder), time.Now()
		case time.Since(since) >= brokenAfter:
			os.Remove(temp + "." + seen)
			removeIf(path, seen)
			since = time.Time{}
		}
		return guard{}, false, nil
	}
}

// removeIf removes the lock if it is still owner's. It moves it aside first:
// of several who break a lock, one gets it, and sees what it got.
func removeIf(path, owner string) {
	aside := path + "." + newOwner()
	if os.Rename(path, aside) != nil {
		return
	}
	if got, err := os.ReadFile(aside); err == nil && string(got) != owner {
		// Somebody broke it before us, and somebody else holds it: give it
		// back, unless a third one was quicker.
		_ = os.Link(aside, path)
	}
	os.Remove(aside)
}

// newOwner is a name that nobody else has.
func newOwner() string {
	return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())
}

// sweepTemps removes what killed saves left, for a caller who holds the lock of
// stripe own and has no temporary yet. Whatever is in use under other locks, or
// can't be removed, is left to others.
func (b *Backend) sweepTemps(dir string, own int) {
	entries, err := os.ReadDir(place{dir, ""}.in(helpers))
	if err != nil {
		return
	}
	for _, entry := range entries {
		var stripe int
		if _, err := fmt.Sscanf(entry.Name(), "temp-%02x", &stripe); err != nil || stripe >= stripes {
			continue
		}
		temp := place{dir, ""}.in(helpers, entry.Name())
		if stripe == own {
			os.Remove(temp)
			continue
		}
		if g, ok, err := lockOf(dir, stripe, b.noFileLocks.Load())(); ok && err == nil {
			os.Remove(temp)
			g.unlock()
		}
	}
}

// readOnly marks what a read-only file system says.
func readOnly(err error) error {
	if errors.Is(err, syscall.EROFS) {
		return fmt.Errorf("%w: %w", core.ErrReadOnly, err)
	}
	return err
}

package filesystem

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Delete implements [core.TokenBackend]. When it returns, not even a power cut brings the
// file back. If the record is a symbolic link, the file to which it leads is deleted and
// the link stays. A file that can be written but not removed, such as a mount point, is
// an error: an empty file would be a broken record.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, b.with(origin.Op("delete", key)), func() error { return b.delete(ctx, key) })
}

func (b *Backend) delete(ctx context.Context, key string) error {
	at, err := b.place(key)
	if err != nil {
		return err
	}
	if absent(at.record()) && !hasTemps(at) {
		return nil // without making a lock file, or even the directory
	}
	at, guard, err := b.lockKey(ctx, key)
	if err != nil {
		return err
	}
	root, done, err := guard.recordsRoot(at)
	if err != nil {
		guard.unlock()
		return err
	}
	defer done()
	defer guard.keepOpen()()
	err = b.deleteUnder(guard, root, at)
	guard.unlock()
	if err != nil {
		return err
	}
	return atomicfile.Sync(root)
}

func (b *Backend) deleteUnder(g guard, root *os.Root, at place) error {
	// A temporary file of a killed save contains tokens, too.
	if err := b.removeDeadTemps(g, at.stripe()); err != nil {
		return err
	}
	if err := atomicfile.Remove(root, at.name); err != nil {
		return err
	}
	if held, err := b.leaseHeld(at); err == nil && !held {
		_ = removeLease(g.helpers, at) // a dead holder's; the next one would replace it
	}
	return nil
}

// hasTemps reports whether a process writes under the place's lock, or was killed while
// it wrote.
func hasTemps(at place) bool {
	d, err := openDirectories(at.home)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer d.close()
	temps, err := temps(d.helpers)
	return len(temps[at.stripe()]) > 0 || err != nil
}

func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

package filesystem

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Delete implements [core.TokenBackend]. The file is gone for good when it
// returns; where the record is a symbolic link, the file it leads to is
// deleted and the link stays. A file that can be written and not removed, such as
// a mount point, is an error: an empty one would be a broken record.
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
	// What a killed save left holds tokens too.
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

// hasTemps reports whether somebody writes, or was killed as it wrote, under the
// place's lock.
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

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
)

// Save implements [core.TokenBackend]. It compares and replaces under the
// record's lock, and returns when the record would survive a power cut. A kill
// at any point leaves the old record or the new one.
//
// A missing directory is made, with mode 0700, and a new record with mode 0600;
// what is there keeps its owner and its mode. Where the record is a symbolic link,
// the file it leads to is replaced. A file that can't be replaced (a mount point,
// one in a directory that can't be written, another user's) is written in place;
// see package atomicfile.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if err := b.admit(ctx, "save", key); err != nil {
		return "", err
	}
	if len(rec.Data) == 0 {
		return "", fail("save", key, fmt.Errorf("%w: nothing to save", core.ErrCorrupt))
	}
	version, err := b.save(ctx, key, rec)
	if err != nil {
		return "", fail("save", key, err)
	}
	return version, nil
}

func (b *Backend) save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if rec.Version != core.AnyVersion && rec.Version != core.Absent {
		// Nothing can have that version where nothing is: don't make the
		// directory only to say so.
		if _, err := os.Stat(placeIn(b.dir, b.fileName(key)).record()); errors.Is(err, fs.ErrNotExist) {
			return "", core.ErrConflict
		}
	}
	version := versionOf(rec.Data) // before the lock: others wait for that
	at, guard, err := b.lockKey(ctx, key)
	if err != nil {
		return "", err
	}
	defer guard.unlock()
	b.sweep.Do(func() { b.sweepTemps(guard, at.home, at.stripe()) })
	if rec.Version != core.AnyVersion {
		stored, err := storedVersion(at.record())
		if err != nil {
			return "", err
		}
		if stored != rec.Version {
			return "", core.ErrConflict
		}
	}
	root, err := guard.rootOf(at)
	if err != nil {
		return "", err
	}
	defer root.Close()
	err = atomicfile.Replace(ctx, root, atomicfile.Replacement{
		Name: at.name,
		Temp: guard.tempIn(at),
		Data: rec.Data,
		// Who shares the file alone, as another container may, has other locks.
		Confirm: func(stored []byte) error {
			if rec.Version != core.AnyVersion && versionOf(stored) != rec.Version {
				return core.ErrConflict
			}
			return nil
		},
	})
	if err != nil {
		return "", err
	}
	return version, nil
}

package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/graphtoken/graphtoken/core"
)

// Save implements [core.TokenBackend]. It compares and replaces under the
// record's lock, and returns when the record would survive a power cut. A kill
// at any point leaves the old record or the new one.
//
// A missing directory is made, with mode 0700; a directory that is there keeps
// its mode. The file has mode 0600, also where it replaces one of another
// mode. Where the record is a symbolic link, the file it leads to is replaced.
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
	at, err := b.place(key)
	if err != nil {
		return "", err
	}
	if rec.Version != core.AnyVersion && rec.Version != core.Absent {
		// Nothing can have that version where nothing is: don't make the
		// directory only to say so.
		if _, err := os.Lstat(at.record()); errors.Is(err, fs.ErrNotExist) {
			return "", core.ErrConflict
		}
	}
	version := versionOf(rec.Data) // before the lock: others wait for that
	guard, err := b.lock(ctx, at)
	if err != nil {
		return "", err
	}
	defer guard.unlock()
	b.sweep.Do(func() { b.sweepTemps(at.dir, at.stripe()) })
	if rec.Version != core.AnyVersion {
		stored, err := storedVersion(at.record())
		if err != nil {
			return "", err
		}
		if stored != rec.Version {
			return "", core.ErrConflict
		}
	}
	if err := replace(at, guard.temp, rec.Data); err != nil {
		return "", err
	}
	return version, nil
}

// replace is the durable write: a temporary, made to last, takes the record's
// name, and the directory is made to remember it.
func replace(at place, temp string, data []byte) error {
	if err := writeDurably(temp, data); err != nil {
		return err
	}
	if err := rename(temp, at.record()); err != nil {
		os.Remove(temp)
		return err
	}
	return syncDir(at.dir)
}

// writeDurably leaves no file behind unless it is whole.
func writeDurably(path string, data []byte) error {
	f, err := createNew(path)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(path)
	}
	return err
}

// createNew makes a new file, never following or reusing what is there: that
// is what a killed save left, for the caller holds the lock that path belongs
// to.
func createNew(path string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := os.OpenFile(path, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		f, err = os.OpenFile(path, flags, 0o600)
	}
	return f, err
}

// makeDir makes a directory and those above it, for their owner alone, and
// makes them last.
func makeDir(path string) error {
	err := os.Mkdir(path, 0o700)
	if errors.Is(err, fs.ErrNotExist) {
		if above := filepath.Dir(path); above != path {
			if err := makeDir(above); err != nil {
				return err
			}
			err = os.Mkdir(path, 0o700)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		// Whoever asks for a directory has not found it: a link to nowhere
		// must not send him here again.
		info, statErr := os.Stat(path)
		if statErr == nil && !info.IsDir() {
			return err
		}
		return statErr
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

package filesystem

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Save implements [core.TokenBackend]. It compares and replaces under the record's lock,
// and returns when the record would survive a power cut. If the process is killed at any
// point, the old record or the new one is there.
//
// A missing directory is made with mode 0700, and a new record with mode 0600; existing
// ones keep their owner and mode. If the record is a symbolic link, the file to which it
// leads is replaced. A file that can't be replaced (a mount point, a file in a directory
// that can't be written, another user's file) is written in place; see package
// atomicfile.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, b.with(origin.SaveOp(key, rec, 0)), func() (core.Version, error) { return b.save(ctx, key, rec) })
}

func (b *Backend) save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	for {
		version, err := b.saveOnce(ctx, key, rec)
		if !errors.Is(err, errMoved) {
			return version, err
		}
		if err := ctx.Err(); err != nil {
			return "", err
		}
	}
}

// errMoved: the record, or its directory, is no longer the same as a moment ago.
var errMoved = errors.New("the directory was replaced")

// saveOnce writes the new file, takes the lock, compares and renames. Nothing is fsynced
// under the lock, except a file that is written in place. If the directories are missing,
// it makes them, and returns errMoved.
func (b *Backend) saveOnce(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	at, err := b.place(key)
	if err == nil {
		err = confirm(at, rec) // a save that comes too late writes nothing, and makes no directory
	}
	if err != nil {
		return "", err
	}
	d, err := openDirectories(at)
	if errors.Is(err, fs.ErrNotExist) {
		return "", cmp.Or(makeHelpers(at.home, !b.noFileLocks.Load()), errMoved)
	}
	if err != nil {
		return "", err
	}
	defer d.close()
	s := saving{b: b, at: at, rec: rec, directories: d}
	defer s.discard()
	if !b.noFileLocks.Load() {
		if err := s.prepare(); err != nil {
			return "", err
		}
	}
	if err := s.commit(ctx, key); err != nil {
		return "", err
	}
	if err := atomicfile.Sync(d.record); err != nil {
		return "", err
	}
	return versionOf(rec.Data), nil
}

// saving is a save under way.
type saving struct {
	*directories
	b        *Backend
	at       place
	rec      core.Record
	prepared *atomicfile.Prepared
	crowded  bool // see temp
}

// prepare writes the new file without the lock, if a new file is possible and files can
// be locked.
func (s *saving) prepare() error {
	if s.at.home != s.at.dir {
		return nil
	}
	t, err := makeTemp(s.helpers, s.at.stripe(), tempName(s.at.stripe()))
	if err != nil {
		return nil // commit meets the same fault, under the lock
	}
	s.crowded = t.crowded
	return s.prepareIn(t.name, t.file)
}

func (s *saving) prepareIn(temp string, file *os.File) (err error) {
	s.prepared, err = atomicfile.Prepare(s.record, atomicfile.Replacement{
		Name: s.at.name,
		Temp: s.at.below(temp),
		File: file,
		Data: s.rec.Data,
		// A process that shares the file alone, in another container for example, has
		// other locks.
		Confirm: func(stored []byte) error {
			if s.rec.Version != core.AnyVersion && versionOf(stored) != s.rec.Version {
				return core.ErrConflict
			}
			return nil
		},
	})
	return err
}

// commit compares and replaces under the lock.
func (s *saving) commit(ctx context.Context, key string) error {
	at, guard, err := s.b.lockKey(ctx, key, nil)
	if err != nil {
		return err
	}
	defer guard.unlock()
	if at != s.at || !os.SameFile(guard.helpersInfo, s.helpersInfo) || !os.SameFile(guard.homeInfo, s.homeInfo) {
		return errMoved
	}
	s.b.sweep.Do(func() { s.b.sweepTemps(guard, at.stripe()) })
	if s.crowded {
		// Usually the writer of the other file lives. To look at all temporary files under
		// the lock would take long.
		if dead, _ := removeUnlocked(guard.helpers, tempName(at.stripe())); dead {
			_ = s.b.removeDeadTemps(guard, at.stripe())
		}
	}
	if err := confirm(at, s.rec); err != nil {
		return err
	}
	ahead := s.prepared != nil
	if !ahead {
		if err := s.prepareIn(guard.temp, nil); err != nil {
			return err
		}
	}
	err = s.prepared.Replace(ctx)
	s.prepared = nil
	if ahead && errors.Is(err, fs.ErrNotExist) {
		return errMoved // another program removed the temporary file, not because of a lock
	}
	return err
}

func (s *saving) discard() {
	if s.prepared != nil {
		s.prepared.Discard()
	}
}

// confirm returns core.ErrConflict unless the stored record is the one that rec is
// to replace.
func confirm(at place, rec core.Record) error {
	if rec.Version == core.AnyVersion {
		return nil
	}
	stored, err := storedVersion(at.record())
	if err == nil && stored != rec.Version {
		err = core.ErrConflict
	}
	return err
}

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
		return nil // no lock file and no directory is made
	}
	at, guard, err := b.lockKey(ctx, key, nil)
	if err != nil {
		return err
	}
	defer guard.keepOpen()()
	err = b.deleteUnder(guard, at)
	guard.unlock()
	if err != nil {
		return err
	}
	return atomicfile.Sync(guard.record)
}

func (b *Backend) deleteUnder(g *guard, at place) error {
	// A temporary file of a killed save contains tokens, too.
	if err := b.removeDeadTemps(g, at.stripe()); err != nil {
		return err
	}
	if err := atomicfile.Remove(g.record, at.name); err != nil {
		return err
	}
	// A dead holder's lease file is removed, although the next holder would replace it. A
	// lease file that wasn't there a moment ago belongs to a holder that lives.
	if found, held, err := b.lookAtLease(at); found && !held && err == nil {
		_ = removeLease(g, at)
	}
	return nil
}

// hasTemps reports whether a process writes under the place's lock, or was killed while
// it wrote.
func hasTemps(at place) bool {
	root, err := os.OpenRoot(placeIn(at.home, "").in(helpers))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer root.Close()
	temps, err := temps(root)
	return len(temps[at.stripe()]) > 0 || err != nil
}

func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

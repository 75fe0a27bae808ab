package filesystem

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/graphtoken/graphtoken/core/atomicfile"
)

// A record's next content is written and fsynced before the record's lock is taken, into
// a temporary file that its writer has locked until it takes the record's name. So a
// temporary file that isn't locked belongs to a killed writer. Temporary files are
// removed by their writers, and by holders of the lock of their stripe. So a file that
// such a holder finds unlocked stays unlocked, and a writer that unlocks its temporary
// file under that lock keeps the name.
//
// If files can't be locked, temporary files are made under the stripe's lock, and its
// holder may remove them all.

// temp is a temporary file that this process has locked.
type temp struct {
	name string // among the helpers
	file *os.File
	// crowded: another temporary file of the stripe has the usual name. A killed writer
	// may have left it.
	crowded bool
}

// makeTemp makes a temporary file of that name or, if it is in use, of another. It returns
// errors.ErrUnsupported if files can't be locked.
func makeTemp(root *os.Root, stripe int, name string) (temp, error) {
	t := temp{name: name}
	for ; ; t.name, t.crowded = newTempName(stripe), true {
		var err error
		if t.file, err = createHelper(root, t.name); errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return temp{}, err
		}
		locked, err := atomicfile.TryLock(t.file, true)
		if err != nil {
			_ = root.Remove(t.name)
		}
		if locked {
			if err = atomicfile.StillNamed(root, t.name, t.file); err == nil {
				return t, nil
			}
		}
		t.file.Close()
		if notReplaced(err) != nil {
			return temp{}, err
		}
		// Another process took the new file for a killed writer's.
	}
}

// temps returns the names of all temporary files, by stripe.
func temps(helpers *os.Root) (map[int][]string, error) {
	dir, err := helpers.Open(".")
	if err != nil {
		return nil, atomicfile.Located(helpers, err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	found := make(map[int][]string)
	for _, name := range names {
		var stripe int
		if _, err := fmt.Sscanf(name, "temp-%02x", &stripe); err == nil && stripe < stripes {
			found[stripe] = append(found[stripe], name)
		}
	}
	return found, err
}

// removeDeadTemps removes the files that killed saves left in a stripe whose lock the
// caller holds.
func (b *Backend) removeDeadTemps(g *guard, stripe int) error {
	temps, err := temps(g.helpers)
	if err != nil {
		return err
	}
	for _, name := range temps[stripe] {
		var err error
		if b.noFileLocks.Load() {
			err = g.helpers.Remove(name)
		} else {
			_, err = removeUnlocked(g.helpers, name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return atomicfile.Located(g.helpers, err)
		}
	}
	return nil
}

// removeUnlocked removes a temporary file, for the holder of its stripe's lock, unless
// its writer lives. A file that this process may not open belongs to another user, and
// stays.
func removeUnlocked(helpers *os.Root, name string) (removed bool, err error) {
	f, err := openHelper(helpers, name, os.O_RDWR)
	if errors.Is(err, fs.ErrPermission) {
		f, err = openHelper(helpers, name, os.O_RDONLY)
	}
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, atomicfile.ErrReplaced), errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil: // for example a link, which has no writer
		err = helpers.Remove(name)
		return err == nil, err
	}
	// The file stays locked until it is removed: its writer may be about to lock it.
	defer f.Close()
	locked, err := atomicfile.TryLock(f, true)
	if err != nil || !locked || atomicfile.StillNamed(helpers, name, f) != nil {
		return false, err
	}
	err = helpers.Remove(name)
	return err == nil, err
}

// sweepTemps removes the files that killed saves left, for a caller that holds the lock
// of stripe own. Files that are in use, that are under other locks, or that can't be
// removed, are left to others.
func (b *Backend) sweepTemps(g *guard, own int) {
	temps, err := temps(g.helpers)
	if err != nil {
		return
	}
	for stripe := range temps {
		if stripe == own {
			_ = b.removeDeadTemps(g, own)
			continue
		}
		var lock fileLock
		if unlock, err := b.lockStripe(&lock, g.helpers, stripe, newOwner()); unlock != nil && err == nil {
			_ = b.removeDeadTemps(g, stripe)
			unlock()
		}
		lock.close()
	}
}

// below returns a temporary file's name relative to the record's directory. It is empty if the
// helper files are in another directory.
func (p place) below(temp string) string {
	if p.home != p.dir {
		return ""
	}
	return filepath.Join(helpers, temp)
}

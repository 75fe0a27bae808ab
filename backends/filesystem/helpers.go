package filesystem

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/graphtoken/graphtoken/core/atomicfile"
)

// helpers is the directory, beside the records, of all files that are no records; leases
// is the directory of lease files below it.
//
// All files below are opened relative to their directory, and no link is followed. If
// others can write to the directory too, a link could make this process lock, write and
// delete its own user's files.
const helpers, leases = ".graphtoken", "leases"

// openBelow opens a directory below another one, and no link to one.
func openBelow(root *os.Root, name string) (*os.Root, fs.FileInfo, error) {
	named, err := root.Lstat(name)
	if err != nil {
		return nil, nil, atomicfile.Located(root, err)
	}
	if !named.IsDir() {
		return nil, nil, planted(root, name, "directory")
	}
	below, err := root.OpenRoot(name)
	if err != nil {
		return nil, nil, atomicfile.Located(root, err)
	}
	if opened, err := below.Stat("."); err != nil || !os.SameFile(named, opened) {
		below.Close()
		return nil, nil, planted(root, name, "directory")
	}
	return below, named, nil
}

// openHelper opens a file of the helpers, and no link to one.
func openHelper(root *os.Root, name string, flags int) (*os.File, error) {
	f, err := root.OpenFile(name, flags|openNow, 0)
	if err != nil {
		if named, lstatErr := root.Lstat(name); lstatErr == nil && !named.Mode().IsRegular() {
			return nil, planted(root, name, "file")
		}
		return nil, atomicfile.Located(root, err)
	}
	if err := stillNamed(root, name, f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// errReplaced: another file has the name now.
var errReplaced = errors.New("another process has replaced the file")

// stillNamed returns nil if f is the regular file of that name, and
// fs.ErrNotExist or errReplaced if it was until a moment ago.
func stillNamed(root *os.Root, name string, f *os.File) error {
	named, err := root.Lstat(name)
	if err != nil {
		return atomicfile.Located(root, err)
	}
	if !named.Mode().IsRegular() {
		return planted(root, name, "file")
	}
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(named, opened) {
		return errReplaced
	}
	return nil
}

func planted(root *os.Root, name, kind string) error {
	return &fs.PathError{Op: "open", Path: filepath.Join(root.Name(), name), Err: fmt.Errorf("this should be a %s of graphtoken and isn't: check it, and remove it", kind)}
}

// createHelper makes a file of the helpers that isn't there.
func createHelper(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, atomicfile.Located(root, err)
	}
	if err := atomicfile.Adopt(root, f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// makeHelpers makes what is missing: the directory, and those of its helpers; in new
// helpers the lock files, too, unless files aren't locked.
func makeHelpers(home string, lockFiles bool) error {
	if err := makeDir(home); err != nil {
		return err
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		return err
	}
	defer root.Close()
	made, err := makeBelow(root, helpers)
	if err != nil {
		return err
	}
	below, _, err := openBelow(root, helpers)
	if err != nil {
		return err
	}
	defer below.Close()
	if made && lockFiles {
		if err := makeLockFiles(below); err != nil {
			return err
		}
	}
	_, err = makeBelow(below, leases)
	return err
}

// makeDir makes a directory and those above it, for their owner alone, and makes them
// durable.
func makeDir(path string) error {
	above := filepath.Dir(path)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || above == path {
		return err
	}
	if err := makeDir(above); err != nil {
		return err
	}
	root, err := os.OpenRoot(above)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = makeBelow(root, filepath.Base(path))
	return err
}

// makeBelow makes a directory, unless it exists, and makes it durable.
func makeBelow(root *os.Root, name string) (made bool, err error) {
	err = root.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		// A link to nowhere, for example, must not send the caller here again.
		_, err = root.Stat(name)
		return false, atomicfile.Located(root, err)
	}
	if err != nil {
		return false, atomicfile.Located(root, err)
	}
	dir, err := root.Open(name)
	if err != nil {
		return false, atomicfile.Located(root, err)
	}
	defer dir.Close()
	if err := atomicfile.Adopt(root, dir); err != nil {
		return false, err
	}
	return true, atomicfile.Sync(root)
}

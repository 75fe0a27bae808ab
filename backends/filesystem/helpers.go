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
	f, err := atomicfile.OpenIn(root, name, flags)
	if errors.Is(err, atomicfile.ErrNotRegular) {
		err = planted(root, name, "file")
	}
	return f, err
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

// makeHelpers makes the directories that are missing. A new directory of helpers gets its
// lock files, too, unless files aren't locked.
func makeHelpers(home string, lockFiles bool) error {
	if err := atomicfile.MakeDirectories(home); err != nil {
		return err
	}
	root, err := os.OpenRoot(home)
	if err != nil {
		return err
	}
	defer root.Close()
	made, err := atomicfile.MakeDirectory(root, helpers)
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
	_, err = atomicfile.MakeDirectory(below, leases)
	return err
}

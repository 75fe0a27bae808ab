package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrNotRegular: what has the name is a directory, a pipe or a device, or a link where
// none is followed.
var ErrNotRegular = errors.New("not a regular file")

// ErrReplaced: the file is another one than a moment ago.
var ErrReplaced = errors.New("another file took the name meanwhile")

// Open opens a regular file for [Read], and returns its information, which Read needs. It
// follows links. For anything else than a regular file it returns [ErrNotRegular], and
// doesn't wait, as for the other end of a pipe.
func Open(path string) (*os.File, fs.FileInfo, error) {
	f, err := openToRead(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: path, Err: ErrNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// OpenIn opens the regular file of that name in dir. It follows no link, makes no file, and
// waits for no pipe. Its errors are those of [StillNamed], and of package os.
func OpenIn(dir *os.Root, name string, flags int) (*os.File, error) {
	f, err := dir.OpenFile(name, flags|openNow, 0)
	if err != nil {
		if named, lstatErr := dir.Lstat(name); lstatErr == nil && !named.Mode().IsRegular() {
			return nil, notRegular(dir, name)
		}
		return nil, Located(dir, err)
	}
	if err := StillNamed(dir, name, f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// StillNamed returns nil if f is the regular file of that name in dir. If the file has lost
// the name, the error is fs.ErrNotExist, [ErrReplaced] or [ErrNotRegular].
func StillNamed(dir *os.Root, name string, f *os.File) error {
	named, err := dir.Lstat(name)
	if err != nil {
		return Located(dir, err)
	}
	if !named.Mode().IsRegular() {
		return notRegular(dir, name)
	}
	opened, err := f.Stat()
	if err == nil && !os.SameFile(named, opened) {
		err = &fs.PathError{Op: "open", Path: f.Name(), Err: ErrReplaced}
	}
	return err
}

func notRegular(dir *os.Root, name string) error {
	return &fs.PathError{Op: "open", Path: join(dir, name), Err: ErrNotRegular}
}

// MakeDirectories makes a directory and those above it, as [MakeDirectory] does.
func MakeDirectories(path string) error {
	above := filepath.Dir(path)
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) || above == path {
		return err
	}
	if err := MakeDirectories(above); err != nil {
		return err
	}
	root, err := os.OpenRoot(above)
	if err != nil {
		return err
	}
	defer root.Close()
	_, err = MakeDirectory(root, filepath.Base(path))
	return err
}

// MakeDirectory makes a directory in dir, unless it exists, and makes it durable. It has
// mode 0700; if root makes it, it belongs to dir's owner.
func MakeDirectory(dir *os.Root, name string) (made bool, err error) {
	err = dir.Mkdir(name, 0o700)
	if errors.Is(err, fs.ErrExist) {
		// A link to nowhere, for example, must not send the caller here again.
		_, err = dir.Stat(name)
		return false, Located(dir, err)
	}
	if err != nil {
		return false, Located(dir, err)
	}
	below, err := dir.Open(name)
	if err != nil {
		return false, Located(dir, err)
	}
	defer below.Close()
	if err := Adopt(dir, below); err != nil {
		return false, err
	}
	return true, Sync(dir)
}

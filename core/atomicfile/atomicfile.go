// Package atomicfile replaces the content of a file so that whoever reads it
// finds the old content or the new, also after a crash: what the backends keep
// records with that are files.
//
// A new file takes the old one's name where the operating system lets it, with the
// old one's owner and mode. Where it doesn't, because the file is a mount point,
// say, or lies in a directory that can't be written, [Replace] writes into the old
// file, in steps of which each leaves a whole copy; [Read] and [Content] find it.
package atomicfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// Replacement is a file's next content.
type Replacement struct {
	Name string // of the file, in the directory; no link
	// Temp names the new file, below the same directory, until it takes Name. What
	// lies there is removed: the caller keeps others from using the name. If it is
	// empty, or can't be made, the content is written in place.
	Temp string
	Data []byte
	// Confirm, unless it is nil, is asked before anything is written in place, with
	// the content that is there, while the file is locked against all others who
	// write in place. Its error ends the replacement.
	Confirm func(stored []byte) error
}

// Replace makes r.Data the content of the file, and makes it last.
//
// A file that was there keeps its owner and its mode, as far as permissions go; a
// new one has mode 0600, and belongs, where root makes it, to the directory's
// owner. The error is of the os package, and nothing has changed; where neither a
// new file nor the old one can be written, it tells both reasons.
func Replace(ctx context.Context, dir *os.Root, r Replacement) error {
	if _, found, err := content(r.Data); found || err != nil {
		return fmt.Errorf("%w: the data are themselves a write in place that was cut off", core.ErrCorrupt)
	}
	old, err := lstatRegular(dir, r.Name)
	if err != nil {
		return err
	}
	refusal := replace(dir, r, old)
	if old == nil || !isRefusal(refusal) {
		return refusal
	}
	if err := writeInPlace(ctx, dir, r); err != nil {
		return bothReasons(refusal, err)
	}
	return nil
}

func bothReasons(refusal, err error) error {
	return fmt.Errorf("it can't be replaced (%w), nor written in place: %w", refusal, err)
}

// lstatRegular returns nil where there is no file.
func lstatRegular(dir *os.Root, name string) (fs.FileInfo, error) {
	info, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "replace", Path: join(dir, name), Err: errors.New("not a regular file")}
	}
	return info, Located(dir, err)
}

// errNoTemp is the refusal where the caller knows of no place for a temporary.
var errNoTemp = errors.New("its directory can't be written")

// errOwner is the refusal where a new file would be another user's than the old one.
var errOwner = errors.New("a new file would have another owner")

// isRefusal reports whether the system lets nobody take the file's name, while
// the file itself may still be written.
func isRefusal(err error) bool {
	return errors.Is(err, errNoTemp) || errors.Is(err, errOwner) || isRefusalBySystem(err)
}

func replace(dir *os.Root, r Replacement, old fs.FileInfo) error {
	if r.Temp == "" {
		return errNoTemp
	}
	if err := writeTemp(dir, r.Temp, r.Data, old); err != nil {
		return err
	}
	if err := rename(dir, r.Temp, r.Name); err != nil {
		_ = remove(dir, r.Temp)
		return err
	}
	return syncDir(dir)
}

// writeTemp leaves no file behind unless it is whole.
func writeTemp(dir *os.Root, temp string, data []byte, old fs.FileInfo) error {
	f, err := createNew(dir, temp)
	if err != nil {
		return err
	}
	err = inherit(dir, f, old)
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = remove(dir, temp)
	}
	return err
}

// createNew makes a new file for its owner alone. It never follows or reuses
// what is there, but removes it: that is what a killed process left, or a link
// that somebody planted.
func createNew(dir *os.Root, name string) (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := dir.OpenFile(name, flags, 0o600)
	if errors.Is(err, fs.ErrExist) {
		if err := remove(dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		f, err = dir.OpenFile(name, flags, 0o600)
	}
	return f, Located(dir, err)
}

// Remove removes files, of which some may be missing, and makes that last.
func Remove(dir *os.Root, names ...string) error {
	for _, name := range names {
		if err := remove(dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(dir)
}

func rename(dir *os.Root, from, to string) error {
	return Located(dir, Patiently(func() error { return dir.Rename(from, to) }))
}

func remove(dir *os.Root, name string) error {
	return Located(dir, Patiently(func() error { return dir.Remove(name) }))
}

// ReadOnly marks what a read-only file system says with core.ErrReadOnly.
func ReadOnly(err error) error {
	if isReadOnly(err) {
		return fmt.Errorf("%w: %w", core.ErrReadOnly, err)
	}
	return err
}

// Located returns an error of dir's methods, which names files as dir does, with
// their whole paths.
func Located(dir *os.Root, err error) error {
	switch e := err.(type) {
	case *fs.PathError:
		return &fs.PathError{Op: e.Op, Path: join(dir, e.Path), Err: e.Err}
	case *os.LinkError:
		return &os.LinkError{Op: e.Op, Old: join(dir, e.Old), New: join(dir, e.New), Err: e.Err}
	}
	return err
}

func join(dir *os.Root, name string) string {
	if filepath.IsAbs(name) || strings.HasPrefix(name, dir.Name()+string(os.PathSeparator)) {
		return name
	}
	return filepath.Join(dir.Name(), name)
}

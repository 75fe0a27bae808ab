// Package atomicfile replaces the content of a file so that a reader finds either the old
// content or the new, also after a crash. Backends that keep records in files use it.
//
// A new file takes the old one's name if the operating system allows it, with the old
// one's owner and mode. If it doesn't (the file is a mount point, or is in a directory
// that can't be written), [Replace] writes into the old file, in steps of which each
// leaves a whole copy. [Read] finds that copy.
//
// The package also has what programs need if other users can change their files: [OpenIn]
// and [StillNamed] follow no link, [CheckDirectory] tells whether others can write to a
// directory, [MakeDirectories] makes one for its owner alone, and [TryLock] locks a file.
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
	// Temp names the new file, below the same directory, until it takes Name. A file of
	// that name is removed, so the caller makes sure that nobody else uses the name. If
	// Temp is empty, or can't be created, the content is written in place.
	Temp string
	// File is the new file, unless it is nil: the caller has created it under the name
	// Temp, empty and open for writing. It is closed in the end.
	File *os.File
	Data []byte
	// Confirm, unless it is nil, is called before anything is written in place, with the
	// present content, while the file is locked against all other writers in place. Its
	// error ends the replacement.
	Confirm func(stored []byte) error
}

// Replace makes r.Data the content of the file, and makes sure that a power cut doesn't
// undo it.
//
// An existing file keeps its owner and its mode, as far as permissions allow. A new file
// has mode 0600; if root creates it, it belongs to the directory's owner. After an error,
// which is one of package os, nothing has changed. If neither a new file nor the old one
// can be written, the error gives both reasons.
func Replace(ctx context.Context, dir *os.Root, r Replacement) error {
	p, err := Prepare(dir, r)
	if err != nil {
		return err
	}
	if err := p.Replace(ctx); err != nil {
		return err
	}
	return Sync(dir)
}

// Prepared is a replacement whose content is on the disk, in a file that hasn't taken the
// name yet: the slow part is done. End it with Replace or Discard.
type Prepared struct {
	dir     *os.Root
	r       Replacement
	old     fs.FileInfo // of the file whose owner and mode the new one has; nil for none
	file    *os.File
	refusal error // why there is no new file
}

// Prepare is the first part of [Replace]: it writes the new file, and fsyncs it.
func Prepare(dir *os.Root, r Replacement) (*Prepared, error) {
	p := &Prepared{dir: dir, r: r, file: r.File}
	err := p.prepare()
	if err != nil {
		p.Discard()
		if p.old == nil || !isRefusal(err) {
			return nil, err
		}
		p.refusal = err
	}
	return p, nil
}

func (p *Prepared) prepare() error {
	if _, found, err := content(p.r.Data); found || err != nil {
		return fmt.Errorf("%w: the data are themselves a write in place that was cut off", core.ErrCorrupt)
	}
	var err error
	if p.old, err = lstatRegular(p.dir, p.r.Name); err != nil {
		return err
	}
	if p.r.Temp == "" {
		return errNoTemp
	}
	if p.file == nil {
		if p.file, err = createNew(p.dir, p.r.Temp); err != nil {
			return err
		}
	}
	return fill(p.dir, p.file, p.r.Data, p.old)
}

// Discard removes the new file.
func (p *Prepared) Discard() {
	if p.file == nil {
		return
	}
	// The file stays open, and so locked, while the name is the caller's.
	removed := p.dir.Remove(p.r.Temp) == nil
	_ = p.file.Close()
	if !removed { // Windows doesn't remove an open file
		_ = remove(p.dir, p.r.Temp)
	}
	p.file = nil
}

// Replace is the second part of [Replace]: the new file takes the name, or the content is
// written in place. [Sync] makes the new name durable.
func (p *Prepared) Replace(ctx context.Context) error {
	old, err := lstatRegular(p.dir, p.r.Name)
	if err != nil {
		p.Discard()
		return err
	}
	refusal := p.refusal
	if refusal == nil {
		refusal = p.rename(old)
	}
	if old == nil || !isRefusal(refusal) {
		return refusal
	}
	if err := writeInPlace(ctx, p.dir, p.r); err != nil {
		return bothReasons(refusal, err)
	}
	return nil
}

func (p *Prepared) rename(old fs.FileInfo) error {
	if !sameRights(old, p.old) {
		err := inherit(p.dir, p.file, old)
		if err == nil {
			err = p.file.Sync()
		}
		if err != nil {
			p.Discard()
			return err
		}
	}
	err := p.file.Close() // Windows renames no open file
	p.file = nil
	if err == nil {
		err = rename(p.dir, p.r.Temp, p.r.Name)
	}
	if err != nil {
		_ = remove(p.dir, p.r.Temp)
	}
	return err
}

// sameRights reports whether a new file would get the same owner and mode from both.
func sameRights(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return a.Mode().Perm() == b.Mode().Perm() && owner(a) == owner(b)
}

func bothReasons(refusal, err error) error {
	return fmt.Errorf("it can't be replaced (%w), nor written in place: %w", refusal, err)
}

// lstatRegular returns nil if there is no file, and ErrNotRegular if the name is no regular
// file's.
func lstatRegular(dir *os.Root, name string) (fs.FileInfo, error) {
	info, err := dir.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "replace", Path: join(dir, name), Err: ErrNotRegular}
	}
	return info, Located(dir, err)
}

// errNoTemp is the refusal if the caller has no place for a temporary file.
var errNoTemp = errors.New("its directory can't be written")

// errOwner is the refusal if a new file would belong to another user than the old one.
var errOwner = errors.New("a new file would have another owner")

// isRefusal reports whether the system lets no process take the file's name, although the
// file itself may be writable.
func isRefusal(err error) bool {
	return errors.Is(err, errNoTemp) || errors.Is(err, errOwner) || isRefusalBySystem(err)
}

// writeTemp leaves a file only if it is whole.
func writeTemp(dir *os.Root, temp string, data []byte, old fs.FileInfo) error {
	f, err := createNew(dir, temp)
	if err != nil {
		return err
	}
	err = fill(dir, f, data, old)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = remove(dir, temp)
	}
	return err
}

// fill writes a new file, and makes its content durable.
func fill(dir *os.Root, f *os.File, data []byte, old fs.FileInfo) error {
	if err := inherit(dir, f, old); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

// createNew creates a file that its owner alone can use. It never follows or reuses an
// existing one, but removes it: a killed process left it, or somebody put a link there.
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

// Remove removes a file, which may be missing. [Sync] makes the removal durable.
func Remove(dir *os.Root, name string) error {
	if err := remove(dir, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Sync makes the names in the directory durable.
func Sync(dir *os.Root) error { return syncDir(dir) }

func rename(dir *os.Root, from, to string) error {
	return Located(dir, Patiently(func() error { return dir.Rename(from, to) }))
}

func remove(dir *os.Root, name string) error {
	return Located(dir, Patiently(func() error { return dir.Remove(name) }))
}

// ReadOnly adds core.ErrReadOnly to the errors of a read-only file system.
func ReadOnly(err error) error {
	if isReadOnly(err) {
		return fmt.Errorf("%w: %w", core.ErrReadOnly, err)
	}
	return err
}

// Located returns err with whole paths: the methods of dir name files relative to dir.
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

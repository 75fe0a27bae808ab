package filesystem

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Two names that differ only in case are one name in some directories: ext4 and NTFS have a
// flag for it, Linux mounts FAT, and macOS has file systems of both kinds. So this file asks
// each directory for an existing name in the other case.

// casing says what is known of the Backend's directory.
type casing int32

const (
	casingUnknown casing = iota
	casingKept
	casingFolded
)

// usualCasing is the casing of most directories of the operating system.
var usualCasing = map[string]casing{"windows": casingFolded, "darwin": casingFolded, "ios": casingFolded}[runtime.GOOS]

// naming returns the naming of keys. Keys without upper case have the same name in directories
// of both kinds, so the directory isn't asked.
func (b *Backend) naming(upper bool) backend.Naming {
	if !upper {
		return b.namings[false]
	}
	if casing(b.casing.Load()) == casingUnknown {
		_ = b.lookAtCase() // the caller meets the same error
	}
	folds := casing(b.casing.Load())
	if folds == casingUnknown { // there is no directory, or nothing in it, yet
		folds = usualCasing
	}
	return b.namings[folds == casingFolded]
}

// lookAtCase finds out the casing of the directory. A process that has a lock has made the
// helper files, and their names are enough for that.
func (b *Backend) lookAtCase() error {
	found, err := casingOf(b.dir)
	if err == nil && found != casingUnknown {
		b.casing.Store(int32(found))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func casingOf(dir string) (casing, error) {
	if found, err := casingBy(dir, helpers); found != casingUnknown || err != nil {
		return found, err
	}
	d, err := os.Open(dir)
	if err != nil {
		return casingUnknown, err
	}
	defer d.Close()
	names, err := d.Readdirnames(1024)
	if err != nil {
		return casingUnknown, nil // empty
	}
	for _, name := range names {
		if other := backend.SwapCase(name); other != name {
			if slices.Contains(names, other) {
				return casingKept, nil
			}
			return casingBy(dir, name)
		}
	}
	return casingUnknown, nil
}

// casingBy asks for a name, and for the same name in the other case.
func casingBy(dir, name string) (casing, error) {
	this, err := os.Lstat(placeIn(dir, name).record())
	if errors.Is(err, fs.ErrNotExist) {
		return casingUnknown, nil
	}
	if err != nil {
		return casingUnknown, err
	}
	other, err := os.Lstat(placeIn(dir, backend.SwapCase(name)).record())
	switch {
	case err == nil && os.SameFile(this, other):
		return casingFolded, nil
	case err == nil || errors.Is(err, fs.ErrNotExist):
		return casingKept, nil
	}
	return casingUnknown, err
}

// caseMatters reports whether the key has another name in a directory that folds case.
func (b *Backend) caseMatters(key string) bool {
	return !b.o.NativeNames && strings.ContainsFunc(key, func(c rune) bool { return 'A' <= c && c <= 'Z' })
}

var escaped = regexp.MustCompile(`%[0-9a-f]{2}`)

// unfolded returns the name as Naming made it. Some directories that fold case list all
// names in lower case.
func unfolded(name string) string {
	name = strings.ToLower(name)
	if strings.HasPrefix(name, "%%") {
		return name
	}
	return escaped.ReplaceAllStringFunc(name, strings.ToUpper)
}

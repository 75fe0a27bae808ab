//go:build unix && !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package atomicfile

import (
	"errors"
	"os"
)

// TryLock returns an error: the locks of these systems end when any handle on the file is
// closed.
func TryLock(f *os.File, exclusive bool) (locked bool, err error) {
	return false, &os.PathError{Op: "lock", Path: f.Name(), Err: errors.ErrUnsupported}
}

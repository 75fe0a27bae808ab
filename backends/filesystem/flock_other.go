//go:build unix && !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package filesystem

import (
	"errors"
	"os"
)

// lockFileNow: the locks of these systems end when any handle on the file is closed.
func lockFileNow(f *os.File, _ bool) (bool, error) {
	return false, &os.PathError{Op: "lock", Path: f.Name(), Err: errors.ErrUnsupported}
}

func unlockFile(*os.File) error { return nil }

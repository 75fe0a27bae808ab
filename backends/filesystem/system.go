//go:build unix

package filesystem

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/graphtoken/graphtoken/core/atomicfile"
)

func lockDirectory(dir *os.File, exclusive bool) (bool, error) {
	return atomicfile.TryLock(dir, exclusive)
}

// mayWrite returns nil if this process may make and remove files in the directory.
func mayWrite(dir string) error {
	if err := unix.Faccessat(unix.AT_FDCWD, dir, unix.W_OK|unix.X_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "access", Path: dir, Err: err}
	}
	return nil
}

// forbiddenByOS reports the characters that no file name can have.
func forbiddenByOS(c rune) bool { return c == '/' || c == 0 }

// reservedByOS reports names that the operating system keeps for itself.
func reservedByOS(string) bool { return false }

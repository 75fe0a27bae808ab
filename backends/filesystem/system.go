//go:build !windows

package filesystem

import (
	"errors"
	"os"
	"syscall"
)

// openFlags is what opening a record for reading needs beyond the usual: not
// to wait for the other end of a pipe.
const openFlags = syscall.O_NONBLOCK

// syncDir makes a rename in the directory last.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	err = dir.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil // a file system that has no such thing, as some in user space
	}
	return err
}

func rename(from, to string) error { return os.Rename(from, to) }

func remove(path string) error { return os.Remove(path) }

// reservedByOS reports names that the operating system keeps for itself.
func reservedByOS(string) bool { return false }

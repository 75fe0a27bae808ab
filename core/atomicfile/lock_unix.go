//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package atomicfile

import (
	"os"
	"syscall"
)

// TryLock locks the file, exclusively or shared, unless another open file has it locked.
// Closing the file unlocks it, and so does the end of the process. The error wraps
// [errors.ErrUnsupported] if the system, or the file system, has no such locks. On Windows
// nobody else can then read the first byte of the file.
func TryLock(f *os.File, exclusive bool) (locked bool, err error) {
	how := syscall.LOCK_SH
	if exclusive {
		how = syscall.LOCK_EX
	}
	for {
		err = syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case err == syscall.EWOULDBLOCK:
			return false, nil
		case err != syscall.EINTR:
			return false, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
		}
	}
}

package atomicfile

import (
	"os"
	"syscall"
	"unsafe"
)

var lockFileEx = syscall.NewLazyDLL("kernel32.dll").NewProc("LockFileEx")

// TryLock locks the first byte of the file, exclusively or shared, unless another open
// file has it locked; see the other systems' TryLock.
func TryLock(f *os.File, exclusive bool) (locked bool, err error) {
	const failImmediately, exclusiveLock = 1, 2
	const errLockViolation, errIOPending = syscall.Errno(33), syscall.Errno(997)
	flags := uintptr(failImmediately)
	if exclusive {
		flags |= exclusiveLock
	}
	var at syscall.Overlapped
	ok, _, err := lockFileEx.Call(f.Fd(), flags, 0, 1, 0, uintptr(unsafe.Pointer(&at)))
	switch {
	case ok != 0:
		return true, nil
	case err == errLockViolation || err == errIOPending:
		return false, nil
	}
	return false, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
}

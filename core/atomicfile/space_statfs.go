//go:build darwin || linux

package atomicfile

import (
	"os"
	"syscall"
)

// freeSpace returns how many bytes a user without privileges may still write.
func freeSpace(f *os.File) (bytes int64, known bool) {
	var s syscall.Statfs_t
	if err := syscall.Fstatfs(int(f.Fd()), &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}

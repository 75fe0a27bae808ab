//go:build darwin || linux

package main

import "syscall"

// roomAt asks the file system that has the directory. A file system whose number of files
// isn't limited, such as btrfs, says that it has none at all.
func roomAt(dir string) (room, bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return room{}, false
	}
	left := room{bytes: int64(s.Bavail) * int64(s.Bsize), files: -1}
	if s.Files > 0 {
		left.files = int64(s.Ffree)
	}
	return left, true
}

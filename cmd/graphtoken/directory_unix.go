//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ownDirectory refuses a directory that others can write to, be it by its mode or
// because it is theirs: they could put a record of their own there, or a link.
// The superuser is trusted, and so is a file system that nobody can write to. A
// directory that isn't there is made by the first save, for its user alone.
func ownDirectory(dir string) error {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return nil // the backend says what is wrong with it
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	const writable = 2 // W_OK of access(2)
	if !ok || errors.Is(syscall.Access(dir, writable), syscall.EROFS) {
		return nil
	}
	foreign := stat.Uid != 0 && int(stat.Uid) != os.Geteuid()
	shared := info.Mode().Perm()&0o022 != 0
	switch {
	case foreign:
		return fmt.Errorf("the directory %s belongs to another user (uid %d), who can plant tokens there: run graphtoken as that user, or name a directory of your own with --store", dir, stat.Uid)
	case shared && int(stat.Uid) == os.Geteuid() && info.Mode()&os.ModeSticky == 0:
		return fmt.Errorf("others can write to the directory %s (mode %#o), and plant tokens there: run chmod go-w on it, or name a directory of your own with --store", dir, info.Mode().Perm())
	case shared:
		return fmt.Errorf("others can write to the directory %s (mode %#o), and plant tokens there: name a directory of your own with --store", dir, info.Mode().Perm())
	}
	return nil
}

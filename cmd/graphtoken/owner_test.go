//go:build unix

package main_test

import (
	"os"
	"syscall"
	"testing"
)

// One `sudo graphtoken refresh` must not take the record away from the service that
// it belongs to.
func TestARecordStaysItsOwnersWhenRootRefreshesIt(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	if err := os.Chmod(w.file(), 0o640); err != nil {
		t.Fatal(err)
	}
	chown(t, w.file())
	w.ok("refresh")
	info, err := os.Stat(w.file())
	if err != nil {
		t.Fatal(err)
	}
	if stat := info.Sys().(*syscall.Stat_t); stat.Uid != somebody || stat.Gid != somebody || info.Mode().Perm() != 0o640 {
		t.Errorf("the record is now %d:%d, %v", stat.Uid, stat.Gid, info.Mode())
	}
}

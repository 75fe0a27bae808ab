package main_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A secret that Kubernetes mounts: the directory is for everybody by its mode, and
// nobody can write there.
func TestARecordOnAReadOnlyFileSystemNeedsNoSafeDirectory(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	token := w.ok("token")
	record, err := os.ReadFile(w.file())
	if err != nil {
		t.Fatal(err)
	}
	dir := w.mkdir("mounted", 0o700)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=1777"); err != nil {
		t.Skipf("SKIPPED, not covered here: nothing can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "tokens"), record, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"token", "--store", "file://" + dir + "/tokens"}
	w.fails(5, args...)
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if got := w.ok(args...); got != token {
		t.Error("the token is another one")
	}
	asked := w.idp.Grants().Total.Received
	w.fails(5, "refresh", "--store", "file://"+dir+"/tokens")
	if w.idp.Grants().Total.Received != asked {
		t.Error("the provider was asked for what can't be saved")
	}
}

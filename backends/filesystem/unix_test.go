//go:build unix

package filesystem

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != want {
		t.Errorf("%s has mode %04o, want %04o", path, got, want)
	}
}

// Not parallel: the umask is the process's.
func TestNewFilesAndDirectoriesArePrivateWhateverTheUmask(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o077} {
		func() {
			defer syscall.Umask(syscall.Umask(umask))
			dir := filepath.Join(t.TempDir(), "a", "b")
			b := open(t, dir, Options{})
			save(t, b, "k", record(1, 0), core.Absent)
			wantMode(t, filepath.Dir(dir), 0o700)
			wantMode(t, dir, 0o700)
			wantMode(t, filepath.Join(dir, helpers), 0o700)
			wantMode(t, filepath.Join(dir, "k"), 0o600)
			lease, err := b.Acquire(t.Context(), "k", 1<<40)
			if err != nil {
				t.Fatal(err)
			}
			wantMode(t, filepath.Join(dir, helpers, "leases", "k"), 0o600)
			if err := lease.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
		}()
	}
}

func TestExistingFilesAndDirectoriesKeepTheirModes(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "k")
	if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	save(t, open(t, dir, Options{}), "k", record(1, 0), versionOf([]byte("{}")))
	wantMode(t, dir, 0o755)
	wantMode(t, path, 0o644)
}

func TestALinkIsWrittenThrough(t *testing.T) {
	top := t.TempDir()
	dir, real := filepath.Join(top, "tokens"), filepath.Join(top, "dotfiles")
	for _, d := range []string{dir, real} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "k")
	if err := os.Symlink("../dotfiles/token", link); err != nil {
		t.Fatal(err)
	}
	b, direct := open(t, dir, Options{}), open(t, real, Options{})
	if _, err := b.Load(t.Context(), "k"); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load through a link to nothing = %v", err)
	}
	v := save(t, b, "k", record(1, 0), core.Absent)
	if rec, err := direct.Load(t.Context(), "token"); err != nil || rec.Version != v {
		t.Errorf("the target is %q, %v", rec.Data, err)
	}
	save(t, direct, "token", record(2, 0), v)
	if _, err := b.Save(t.Context(), "k", core.Record{Data: record(3, 0), Version: v}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("Save = %v, want ErrConflict", err)
	}
	if _, err := b.Acquire(t.Context(), "k", 1<<40); err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Acquire(t.Context(), "token", 1<<40); !errors.Is(err, core.ErrLeaseHeld) {
		t.Errorf("Acquire of the target = %v, want ErrLeaseHeld", err)
	}
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if ok, err := direct.Check(t.Context(), "token"); ok || err != nil {
		t.Errorf("Check of the target = %v, %v", ok, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v, %v", info, err)
	}
	for key, err := range b.Keys(t.Context()) {
		t.Errorf("Keys = %q, %v", key, err)
	}
}

func TestALinkInACircleIsAnErrorAndNotAbsent(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("k", filepath.Join(dir, "k")); err != nil {
		t.Fatal(err)
	}
	b := open(t, dir, Options{})
	if _, err := b.Save(t.Context(), "k", core.Record{Data: record(1, 0), Version: core.AnyVersion}); err == nil {
		t.Error("Save succeeded")
	}
	if _, err := b.Load(t.Context(), "k"); err == nil || errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load = %v", err)
	}
}

func TestAPipeIsNotWaitedFor(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "k"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir, Options{}).Load(t.Context(), "k"); err == nil {
		t.Error("Load of a pipe succeeded")
	}
}

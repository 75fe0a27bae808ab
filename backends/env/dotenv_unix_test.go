//go:build unix

package env_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/core"
)

func TestADotEnvFileKeepsItsOwnerAndMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), ".env")
	write(t, path, "A=1\n")
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 1000, 1001
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Log("this is not root: another user's file is not tried")
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	save(t, open(t, env.Options{DotEnv: path}), env.DefaultKey, "{}", core.Absent)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if s := info.Sys().(*syscall.Stat_t); int(s.Uid) != uid || int(s.Gid) != gid || info.Mode().Perm() != 0o640 {
		t.Errorf("the file is %d:%d's, %v", s.Uid, s.Gid, info.Mode())
	}
}

// asNobody does what is to be done without root's rights. It changes the rights of
// the whole process, so no test here runs beside others.
func asNobody(t *testing.T, do func()) {
	t.Helper()
	if os.Geteuid() != 0 {
		do()
		return
	}
	const nobody = 65534
	if err := syscall.Seteuid(nobody); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Seteuid(0); err != nil {
			panic(err)
		}
	}()
	do()
}

func TestADotEnvFileInAReadOnlyDirectoryIsWrittenInPlace(t *testing.T) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, ".env")
	write(t, path, "A=1\n")
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 65534, -1); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	asNobody(t, func() {
		b := open(t, env.Options{DotEnv: path})
		if err := errors.Join(b.Ping(t.Context()), b.Probe(t.Context(), env.DefaultKey)); err != nil {
			t.Error(err)
		}
		save(t, b, env.DefaultKey, "{}", core.Absent)
		// Where there is no file, nothing helps, and that is known beforehand.
		none := open(t, env.Options{DotEnv: filepath.Join(dir, "none")})
		for op, err := range map[string]error{"Ping": none.Ping(t.Context()), "Probe": none.Probe(t.Context(), "K")} {
			if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s of a file that can't be made = %v", op, err)
			}
		}
	})
	if got := read(t, path); got != "A=1\nO365TOKEN='{}'\n" {
		t.Errorf("the file is %q", got)
	}
}

func TestPingNamesADotEnvFileThatOthersCanReplace(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	b := open(t, env.Options{DotEnv: filepath.Join(dir, ".env")})
	if err := b.Ping(t.Context()); !errors.Is(err, core.ErrUnsafeDirectory) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Ping = %v", err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := b.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}
}

//go:build unix

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAnExportFollowsALinkToAPlaceOfTheUsersOwn(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	own, open := w.mkdir("own", 0o700), w.mkdir("open", 0o777)
	for name, target := range map[string]string{"to-own": filepath.Join(own, "tokens"), "to-open": filepath.Join(open, "tokens")} {
		if err := os.Symlink(target, filepath.Join(own, name)); err != nil {
			t.Fatal(err)
		}
	}
	w.ok("export", filepath.Join(own, "to-own"), "--force")
	if info, err := os.Lstat(filepath.Join(own, "tokens")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the link's target is %v, %v", info, err)
	}
	w.fails(5, "export", filepath.Join(own, "to-open"), "--force")
	w.fails(5, "export", filepath.Join(open, "tokens"))
	if _, err := os.Lstat(filepath.Join(open, "tokens")); err == nil {
		t.Error("tokens are in a directory where others can write")
	}
}

func TestAnExportIsRefusedWhereOthersCouldReadIt(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	file := w.write("out/tokens", "old")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := w.fails(1, "export", file, "--force"); !strings.Contains(r.err, "chmod 600") || readFile(t, file) != "old" {
		t.Errorf("tokens are in a file that others can read: %s", r.err)
	}
}

func TestAnExportToATerminalIsRefusedUnlessForced(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	s := w.terminal()
	s.enter(`"$GRAPHTOKEN" export -; echo "code":$?` + "\n")
	s.await("--force")
	s.await("code:2")
	s.enter(`"$GRAPHTOKEN" export - --force; echo "code":$?` + "\n")
	s.await("RefreshToken")
	s.await("code:0")
}

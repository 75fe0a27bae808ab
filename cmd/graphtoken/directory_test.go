//go:build unix

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

const somebody = 65534 // a user and a group of no importance

// chown gives a file or a directory to somebody else, which root alone can.
func chown(t *testing.T, path string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, not covered here: only root can give a file away")
	}
	if err := os.Chown(path, somebody, somebody); err != nil {
		t.Fatal(err)
	}
}

func TestAStoreWhereOthersCanWriteIsRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		store func(t *testing.T, w *world) string
		want  string // that is advised
	}{
		{"a directory for everybody", func(_ *testing.T, w *world) string { return "file://" + w.mkdir("d", 0o777) + "/tokens" }, "chmod go-w"},
		{"a directory for a group", func(_ *testing.T, w *world) string { return "file://" + w.mkdir("d", 0o770) + "/tokens" }, "chmod g-w"},
		{"a directory as /tmp", func(_ *testing.T, w *world) string { return "file://" + w.mkdir("d", 0o777|os.ModeSticky) + "/tokens" }, "a directory of your own"},
		{"a directory of several records", func(_ *testing.T, w *world) string { return "file://" + w.mkdir("d", 0o777) + "/" }, "chmod go-w"},
		{"another user's directory", func(t *testing.T, w *world) string {
			dir := w.mkdir("d", 0o755)
			chown(t, dir)
			return "file://" + dir + "/tokens"
		}, "as that user"},
		{"a link to a directory for everybody", func(t *testing.T, w *world) string {
			if err := os.Symlink(w.mkdir("d", 0o777), filepath.Join(w.dir, "link")); err != nil {
				t.Fatal(err)
			}
			return "link/tokens"
		}, "chmod go-w"},
		{"a record that is a link to a directory for everybody", func(t *testing.T, w *world) string {
			w.mkdir("d", 0o777)
			if err := os.Symlink("../d/tokens", filepath.Join(w.mkdir("own", 0o700), "tokens")); err != nil {
				t.Fatal(err)
			}
			return "own/tokens"
		}, "chmod go-w"},
		{"a dotenv file for everybody", func(_ *testing.T, w *world) string { return "env://T?file=" + w.mkdir("d", 0o777) + "/.env" }, "chmod go-w"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.set("GRAPHTOKEN_STORE=" + c.store(t, w))
			for _, args := range [][]string{
				{"login", "--client-id", entra.PublicClient}, {"token"}, {"refresh"}, {"status"}, {"logout"}, {"conformance"},
			} {
				if r := w.fails(5, args...); !strings.Contains(r.err, c.want) {
					t.Errorf("%v advises: %s", args, r.err)
				}
			}
			if left, err := os.ReadDir(filepath.Join(w.dir, "d")); err != nil || len(left) > 0 {
				t.Errorf("something was made there: %v, %v", left, err)
			}
			if n := w.idp.Grants().Total.Received; n != 0 {
				t.Errorf("the provider was asked %d times", n)
			}
		})
	}
}

func TestADirectoryIsNotRefusedBecauseOfItsParents(t *testing.T) {
	w := newWorld(t)
	above := w.mkdir("above", 0o777|os.ModeSticky)
	w.set("GRAPHTOKEN_STORE=file://" + above + "/own/tokens")
	if r := w.login(ana); r.code != 0 {
		t.Fatal(r.err)
	}
	w.ok("token")
	if info, err := os.Stat(filepath.Join(above, "own")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the store's directory: %v, %v", info, err)
	}
}

func TestTokensThatCannotBeSavedAreNotAskedFor(t *testing.T) {
	for _, c := range []struct {
		name  string
		block func(t *testing.T, w *world)
	}{
		{"a variable", func(t *testing.T, w *world) {
			record, err := os.ReadFile(w.file())
			if err != nil {
				t.Fatal(err)
			}
			w.set("MYTOKEN="+string(record), "GRAPHTOKEN_STORE=env://MYTOKEN")
		}},
		{"a directory whose helpers' place is taken", func(t *testing.T, w *world) {
			helpers := filepath.Join(filepath.Dir(w.file()), ".graphtoken")
			if err := os.RemoveAll(helpers); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(helpers, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.login(ana)
			w.expire(tokencache.Query{Username: ana})
			c.block(t, w)
			before := w.idp.Grants().Total.Received
			for _, args := range [][]string{{"refresh"}, {"refresh", "--verbose"}, {"login", "--client-id", entra.PublicClient}} {
				if r := w.fails(5, args...); strings.Contains(r.err, "https://") {
					t.Errorf("%v asks the user: %s", args, r.err)
				}
			}
			if n := w.idp.Grants().Total.Received - before; n != 0 {
				t.Errorf("%d requests, for nothing", n)
			}
		})
	}
}

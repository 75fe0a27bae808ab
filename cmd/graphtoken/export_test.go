package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// exported is what export writes to its standard output.
func (w *world) exported(args ...string) string {
	w.t.Helper()
	var out, errs bytes.Buffer
	cmd := w.command(append([]string{"export", "-"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		w.t.Fatalf("export %v: %v\n%s", args, err, errs.String())
	}
	return out.String()
}

func TestAnExportIsTheWholeRecordInTheClear(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	w.login(bo)
	keys, _ := newKeyFile(t, w)
	w.set("GRAPHTOKEN_KEY_FILE=" + keys)
	plain := w.record()
	w.ok("refresh", "--user", ana, "--plaintext-reads")
	if !strings.HasPrefix(w.record(), "graphtoken:") {
		t.Fatal("the record isn't encrypted")
	}
	cache, err := tokencache.Parse([]byte(w.exported()))
	if err != nil || len(cache.Accounts()) != 2 {
		t.Fatalf("the accounts are %v, %v", cache.Accounts(), err)
	}
	before, err := tokencache.Parse([]byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	q := tokencache.Query{Username: bo}
	was, _ := before.RefreshToken(q)
	if is, _ := cache.RefreshToken(q); is.Secret != was.Secret {
		t.Error("a refresh token became another")
	}
}

func TestAnExportOfOneUserHasNothingOfOthers(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=")
	w.hold(entry{ana, microsoft, homeTID, "app", "ana"}, entry{ana, microsoft, homeTID, "other", "ana-other"}, entry{bo, microsoft, homeTID, "app", "bo"}, entry{"", microsoft, homeTID, "app", "itself"})
	for _, c := range []struct {
		flags     []string
		has, lack []string
	}{
		{[]string{"--user", ana}, []string{ana, "token-of-ana", "refresh-token-of-ana-other"}, []string{bo, "token-of-itself"}},
		{[]string{"--user", ana, "--client-id", "other"}, []string{ana, "token-of-ana-other"}, []string{bo, `token-of-ana"`, "token-of-itself"}},
		{[]string{"--client-credentials"}, []string{"token-of-itself"}, []string{ana, bo, "token-of-ana", "token-of-bo"}},
		{[]string{"--user", bo, "--format", "python-o365-2.0"}, []string{`"access_token": "token-of-bo"`, `"refresh_token": "refresh-token-of-bo"`}, []string{"token-of-ana", "token-of-itself"}},
		{[]string{"--client-credentials", "--format", "python-o365-2.0"}, []string{`"access_token": "token-of-itself"`}, []string{"refresh", "token-of-ana"}},
	} {
		text := w.exported(c.flags...)
		if !json.Valid([]byte(text)) {
			t.Errorf("export %v is no JSON", c.flags)
		}
		for _, has := range c.has {
			if !strings.Contains(text, has) {
				t.Errorf("export %v has no %s", c.flags, has)
			}
		}
		for _, lack := range c.lack {
			if strings.Contains(text, lack) {
				t.Errorf("export %v has %s", c.flags, lack)
			}
		}
	}
	w.fails(3, "export", "x.json", "--user", "zoe@contoso.com")
	w.fails(3, "export", "x.json", "--format", "python-o365-2.0")
	w.fails(2, "export", "x.json", "--tenant", homeTID)
	w.fails(2, "export", "x.json", "--scope", "User.Read")
	w.fails(2, "export", "redis://localhost/0#ana")
	if _, err := os.Stat(filepath.Join(w.dir, "x.json")); err == nil {
		t.Error("a failed export made a file")
	}
}

func TestAnExportedFileIsItsUsersAloneAndReplacesNoneUnlessForced(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	dir := filepath.Join(w.dir, "out")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "o365_token.txt")
	if r := w.run("export", dir); r.code != 0 || !strings.Contains(r.err, "not encrypted") { // the name that python-o365 expects
		t.Fatalf("exit code %d: %s", r.code, r.err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info, err)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("beside the file are %v, %v", names, err)
	}
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.fails(1, "export", file); !strings.Contains(r.err, "--force") {
		t.Errorf("what to do isn't told: %s", r.err)
	}
	if readFile(t, file) != "precious" {
		t.Error("the file was replaced")
	}
	w.ok("export", file, "--force")
	if _, err := tokencache.Parse([]byte(readFile(t, file))); err != nil {
		t.Error(err)
	}
	if r := w.fails(2, "export", w.file(), "--force"); !strings.Contains(r.err, "the store itself") {
		t.Errorf("the store is replaced: %s", r.err)
	}
}

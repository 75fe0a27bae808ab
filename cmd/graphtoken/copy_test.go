package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// copies copies, and returns each record's outcome.
func (w *world) copies(args ...string) map[string]string {
	w.t.Helper()
	var report struct {
		Records []struct{ Record, Outcome, Why string }
	}
	r := w.run(append([]string{"copy", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(r.out), &report); err != nil {
		w.t.Fatalf("copy: exit code %d, %v\n%s", r.code, err, r.err)
	}
	outcomes := map[string]string{}
	for _, c := range report.Records {
		outcomes[c.Record] = c.Outcome
	}
	return outcomes
}

func TestAStoreIsCopiedToAnotherOfAnyKindAndBack(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	dir := filepath.Dir(w.file())
	if r := w.login(bo, "--store", "file:"+dir+"/#bo"); r.code != 0 {
		t.Fatal(r.err)
	}
	token := w.ok("token")
	database := "sqlite://" + filepath.Join(w.dir, "t.db")
	if err := os.WriteFile(filepath.Join(w.dir, "t.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := w.copies(dir+"/", database); got["tokens.json"] != "copied" || got["bo"] != "copied" || len(got) != 2 {
		t.Fatalf("the first copy: %v", got)
	}
	if got := w.copies(dir+"/", database); got["tokens.json"] != "equal" || got["bo"] != "equal" {
		t.Errorf("the second copy: %v", got)
	}
	if got := w.ok("token", "--store", database+"#tokens.json"); got != token {
		t.Error("the copy has another token")
	}
	back := "file:" + filepath.Join(w.dir, "back") + "/"
	if got := w.copies(database+"#tokens.json", back+"#ana.json"); got["tokens.json"] != "copied" {
		t.Errorf("one record, by another name: %v", got)
	}
	if got := w.ok("token", "--store", back+"#ana.json"); got != token {
		t.Error("the copy's copy has another token")
	}
	w.ok("refresh", "--store", database+"#tokens.json")
	if got := w.copies(dir+"/", database); got["tokens.json"] != "kept" {
		t.Errorf("a copy over a refreshed record: %v", got)
	}
	if text := w.ok("copy", dir+"/", filepath.Join(w.dir, "dry")+"/", "--dry-run"); !strings.Contains(text, "copied  bo") {
		t.Errorf("the dry run says %q", text)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "dry")); err == nil {
		t.Error("the dry run made a directory")
	}
	w.fails(2, "copy", dir+"/", w.file())
	w.fails(2, "copy", w.file(), database, "--store", "x")
	w.fails(5, "copy", w.file(), "env://NAME")
	w.fails(3, "copy", "file:"+w.dir+"/absent", database)
}

func TestAnEncryptedRecordIsCopiedUnderAnotherNameWithItsKeyAlone(t *testing.T) {
	w := newWorld(t)
	keyFile, _ := newKeyFile(t, w)
	if r := w.login(ana, "--key-file", keyFile); r.code != 0 {
		t.Fatal(r.err)
	}
	dir := filepath.Dir(w.file())
	token := w.ok("token", "--key-file", keyFile)
	if r := w.fails(5, "copy", w.file(), "file:"+dir+"/#other"); !strings.Contains(r.out, "--key-file") {
		t.Errorf("the way out isn't told: %s%s", r.out, r.err)
	}
	w.ok("copy", w.file(), "file:"+dir+"/#other", "--key-file", keyFile)
	if got := w.ok("token", "--key-file", keyFile, "--store", "file:"+dir+"/#other"); got != token {
		t.Error("the copy has another token")
	}
	// Under the same name, no key is necessary.
	same := filepath.Join(w.dir, "same") + "/"
	w.ok("copy", w.file(), same)
	if got := w.ok("token", "--key-file", keyFile, "--store", "file:"+same+"#tokens.json"); got != token {
		t.Error("the copy has another token")
	}
}

package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// write makes a file with this content, and returns its path.
func (w *world) write(name, content string) string {
	w.t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return path
}

// record is the store's file.
func (w *world) record() string {
	w.t.Helper()
	data, err := os.ReadFile(w.file())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(data)
}

// imports runs import --json, and returns the outcomes by user.
func (w *world) imports(args ...string) map[string]string {
	w.t.Helper()
	var report struct {
		Tokens []struct {
			Username, Outcome string
			ClientID          string `json:"client_id"`
			Application       bool
		}
	}
	text := w.ok(append([]string{"import", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		w.t.Fatalf("%v\n%s", err, text)
	}
	outcomes := make(map[string]string)
	for _, t := range report.Tokens {
		if t.Application {
			t.Username = t.ClientID
		}
		outcomes[t.Username] = t.Outcome
	}
	return outcomes
}

func (w *world) wantImports(want map[string]string, args ...string) {
	w.t.Helper()
	if got := w.imports(args...); fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("import %s: %v, want %v", strings.Join(args, " "), got, want)
	}
}

func TestAnImportedTokenIsPrintedAndRefreshedWhenItHasExpired(t *testing.T) {
	for _, format := range []string{"msal", "python-o365-2.0"} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t)
			w.login(ana)
			token := w.ok("token")
			file := filepath.Join(w.dir, "o365_token.txt")
			w.ok("export", file, "--format", format)

			w.set("GRAPHTOKEN_STORE=" + filepath.Join(w.dir, "store", "other", "tokens.json"))
			w.wantImports(map[string]string{ana: "added"}, file)
			if got := w.ok("token"); got != token {
				t.Error("another token is printed than the imported one")
			}
			w.ok("refresh")
			if got := w.ok("token", "--user", ana); got == token {
				t.Error("the imported token wasn't refreshed")
			}
			if g := w.idp.Grants(); g.ReuseDetected != 0 || g.RefreshesSucceeded != 1 {
				t.Errorf("%d refreshes, %d tokens were sent again", g.RefreshesSucceeded, g.ReuseDetected)
			}
		})
	}
}

func TestAnExpiredTokenOfPythonO365Before21IsRefreshedAfterItsImport(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	w.expire(tokencache.Query{Username: ana})
	file := filepath.Join(w.dir, "o365_token.txt")
	w.ok("export", file, "--format", "python-o365-2.0")
	w.set("GRAPHTOKEN_STORE=" + filepath.Join(w.dir, "store", "other", "tokens.json"))
	w.ok("import", file)
	w.ok("token")
	if n := w.idp.Grants().RefreshesSucceeded; n != 1 {
		t.Errorf("%d refreshes for an expired token", n)
	}
}

func TestAnImportKeepsWhatIsNewerAndWhatIsOthers(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=")
	w.hold(entry{ana, microsoft, homeTID, "app", "ana-old"}, entry{"zoe@contoso.com", microsoft, homeTID, "app", "zoe"}, entry{"", microsoft, homeTID, "daemon", "daemon"})
	old := w.write("old.json", w.record())
	w.hold(entry{ana, microsoft, homeTID, "app", "ana-new"}, entry{bo, microsoft, homeTID, "app", "bo"})
	later := time.Now().Add(time.Minute).Unix()
	new := w.write("new.json", strings.ReplaceAll(w.record(), `"cached_at":"`, fmt.Sprintf(`"cached_at":"%d","was":"`, later)))

	w.wantImports(map[string]string{ana: "kept", bo: "added", "zoe@contoso.com": "added", "daemon": "added"}, new, old, "--store", filepath.Join(w.dir, "a", "tokens.json"))
	if got := w.ok("token", "--user", ana, "--store", filepath.Join(w.dir, "a", "tokens.json")); got != "token-of-ana-new" {
		t.Errorf("an older token replaced a newer one: %s", got)
	}
	w.wantImports(map[string]string{ana: "updated", bo: "added", "zoe@contoso.com": "added", "daemon": "added"}, old, new, "--store", filepath.Join(w.dir, "b", "tokens.json"))
	for user, want := range map[string]string{ana: "token-of-ana-new", bo: "token-of-bo", "zoe@contoso.com": "token-of-zoe"} {
		if got := w.ok("token", "--user", user, "--store", filepath.Join(w.dir, "b", "tokens.json")); got != want {
			t.Errorf("the token of %s is %s, want %s", user, got, want)
		}
	}
	w.wantImports(map[string]string{ana: "kept", bo: "kept"}, new, "--store", filepath.Join(w.dir, "b", "tokens.json"))
}

func TestADryRunOfAnImportSavesNothing(t *testing.T) {
	w := newWorld(t)
	w.hold(entry{ana, microsoft, homeTID, "app", "ana"})
	from := w.write("from.json", w.record())
	w.set("GRAPHTOKEN_STORE=" + filepath.Join(w.dir, "none", "tokens.json"))
	w.wantImports(map[string]string{ana: "added"}, "--dry-run", from)
	r := w.run("import", "--dry-run", from)
	if r.code != 0 || !strings.Contains(r.out, ana) || !strings.Contains(r.err, "Nothing is saved in a dry run: 1 added") {
		t.Errorf("exit code %d\n%s%s", r.code, r.out, r.err)
	}
	if _, err := os.Stat(filepath.Join(w.dir, "none")); err == nil {
		t.Error("the store's directory is there")
	}
}

func TestAnImportTakesTheUsersThatAreNamed(t *testing.T) {
	w := newWorld(t)
	w.hold(entry{ana, microsoft, homeTID, "app", "ana"}, entry{ana, microsoft, homeTID, "other", "ana-other"}, entry{bo, microsoft, homeTID, "app", "bo"}, entry{"", microsoft, homeTID, "app", "itself"})
	from := w.write("from.json", w.record())
	for _, c := range []struct {
		flags []string
		want  map[string]string
		users int
	}{
		{[]string{"--user", ana, "--client-id", "app"}, map[string]string{ana: "added"}, 1},
		{[]string{"--user", "BO@contoso.com"}, map[string]string{bo: "added"}, 1},
		{[]string{"--client-credentials"}, map[string]string{"app": "added"}, 0},
		{[]string{"--client-id", "APP"}, map[string]string{ana: "added", bo: "added", "app": "added"}, 2},
	} {
		w.holdData([]byte("{}"))
		w.wantImports(c.want, append(c.flags, from)...)
		cache, err := tokencache.Parse([]byte(w.record()))
		if err != nil || len(cache.Accounts()) != c.users {
			t.Errorf("import %v: the accounts are %v, %v", c.flags, cache.Accounts(), err)
		}
		if strings.Contains(w.record(), "token-of-ana-other") {
			t.Errorf("import %v took another client's token", c.flags)
		}
	}
	w.fails(3, "import", from, "--user", "zoe@contoso.com")
	w.fails(3, "import", from, "--client-id", "unknown")
	w.fails(2, "import", from, "--tenant", homeTID)
	w.fails(2, "import", from, "--home-account-id", "a.b")
	w.fails(2, "import", from, "--scope", "User.Read")
	w.fails(2, "import", "-", "-")
}

func TestAnImportReadsAnyStoreAndTheStandardInput(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=")
	w.hold(entry{ana, microsoft, homeTID, "app", "ana"})
	from := w.write("from.json", "\ufeff"+w.record()+"\r\n")
	w.set("O365TOKEN=" + w.record())
	w.ok("copy", w.file(), "sqlite://"+filepath.Join(w.dir, "tokens.db")+"#ana@contoso.com")
	for _, place := range []string{"env://O365TOKEN", "env:", "sqlite://" + filepath.Join(w.dir, "tokens.db") + "#ana@contoso.com", "file://" + from, from} {
		w.holdData([]byte("{}"))
		w.wantImports(map[string]string{ana: "added"}, place)
	}
	w.holdData([]byte("{}"))
	cmd := w.command("import", "-")
	cmd.Stdin = strings.NewReader(readFile(t, from))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := w.ok("token"); got != "token-of-ana" {
		t.Errorf("the token is %s", got)
	}
	w.fails(2, "import", "sqlite://"+filepath.Join(w.dir, "tokens.db")) // of many records
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAnImportIntoAnEncryptedStoreFromAnEncryptedPlace(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	token := w.ok("token")
	plain := w.write("plain.json", w.record())
	keys, _ := newKeyFile(t, w)
	sealed := filepath.Join(w.dir, "sealed", "tokens.json")
	w.ok("import", plain, "--store", sealed, "--key-file", keys)
	if data := readFile(t, sealed); !strings.HasPrefix(data, "graphtoken:") {
		t.Error("the record isn't encrypted")
	}
	other := filepath.Join(w.dir, "other", "tokens.json")
	if r := w.fails(5, "import", sealed, "--store", other); !strings.Contains(r.err, "--key-file") {
		t.Errorf("what to do isn't told: %s", r.err)
	}
	w.wantImports(map[string]string{ana: "added"}, sealed, "--store", other, "--key-file", keys)
	if got := w.ok("token", "--store", other, "--key-file", keys); got != token {
		t.Error("another token is printed")
	}
}

func TestAnImportReadsWhatPythonO365EncryptedWithFernet(t *testing.T) {
	w := newWorld(t)
	token := filepath.Join("..", "..", "core", "tokencache", "testdata", "python-o365", "fernet_token.txt")
	file := w.write("o365_token.txt", readFile(t, token))
	key := w.write("fernet.key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
	if r := w.fails(5, "import", file); !strings.Contains(r.err, "--fernet-key-file") {
		t.Errorf("what to do isn't told: %s", r.err)
	}
	if got := w.imports(file, "--fernet-key-file", key); len(got) == 0 {
		t.Error("nothing was taken in")
	}
	w.fails(5, "import", file, "--fernet-key-file", w.write("other.key", "MTEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="))
	w.fails(2, "import", file, "--fernet-key-file", w.write("bad.key", "no key"))
}

func TestATokenThatDoesNotSayWhoseItIsNeedsFlags(t *testing.T) {
	w := newWorld(t)
	w.secrets["canary-access"], w.secrets["canary-refresh"] = true, true
	file := w.write("o365_token.txt", `{"token_type":"Bearer","scope":["User.Read"],"expires_in":3599,"access_token":"canary-access","refresh_token":"canary-refresh","expires_at":`+fmt.Sprint(time.Now().Add(time.Hour).Unix())+`}`)
	if r := w.fails(2, "import", file); !strings.Contains(r.err, "--client-id") || !strings.Contains(r.err, "--home-account-id") {
		t.Errorf("the flags aren't told: %s", r.err)
	}
	w.fails(2, "import", file, "--client-id", entra.PublicClient)
	u, _ := w.idp.User(ana)
	w.wantImports(map[string]string{ana: "added"}, file, "--client-id", entra.PublicClient, "--user", ana, "--home-account-id", u.HomeAccountID())
	if got := w.ok("token"); got != "canary-access" {
		t.Errorf("the token is %s", got)
	}
	w.fails(2, "import", w.write("user.txt", `{"access_token":"e30.`+"eyJhcHBpZCI6ImEiLCJ1cG4iOiJib0Bjb250b3NvLmNvbSJ9"+`.x"}`), "--user", ana)
}

func TestAnImportOfWhatIsNoTokenCacheSavesNothing(t *testing.T) {
	w := newWorld(t)
	w.secrets["canary-of-a-token"] = true
	w.hold(entry{ana, microsoft, homeTID, "app", "ana"})
	before := w.record()
	huge := w.write("huge", "{")
	if err := os.Truncate(huge, 100<<20); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sentence, path string
		code           int
		says           string
	}{
		{"an empty file", w.write("empty", ""), 3, "keychain"},
		{"a file of line ends", w.write("blank", "\r\n\r\n"), 5, ""},
		{"a web page", w.write("page.html", "<!DOCTYPE html>canary-of-a-token"), 5, "web page"},
		{"a cache that is cut off", w.write("torn", before[:len(before)/2]), 5, "ends"},
		{"a directory without python-o365's file", filepath.Join(w.dir, "directory"), 3, "o365_token.txt"},
		{"no file", filepath.Join(w.dir, "none"), 3, "none"},
		{"a file of 100 MB", huge, 5, "64 MiB"},
		{"a name that controls a terminal", w.write("control", strings.Replace(before, ana, `ana\u001b]0;x\u0007`, 1)), 5, "username"},
		{"a token with a line break", w.write("break", strings.Replace(before, "token-of-ana", `canary-of-a-token\r\n`, 1)), 5, "secret"},
		{"azure-cli's service principals", w.write("service_principal_entries.json", `[{"client_id":"x","tenant":"t","client_secret":"canary-of-a-token"}]`), 3, "service principals"},
		{"a cache that Windows encrypted", w.write("msal_token_cache.bin", "\x01\x00\x00\x00\xd0\x8c\x9d\xdf\x01\x15\xd1\x11\x8c\x7a\x00\xc0\x4f\xc2\x97\xeb\x01"), 5, "az config set"},
	} {
		good := w.write("good.json", strings.ReplaceAll(before, ana, bo))
		r := w.fails(c.code, "import", good, c.path) // all are read before anything is saved
		if !strings.Contains(r.err, c.says) || !strings.Contains(r.err, "Nothing was saved") {
			t.Errorf("%s: the message doesn't say %q, and that nothing was saved:\n%s", c.sentence, c.says, r.err)
		}
		nothingUnfit(t, r)
		if w.record() != before {
			t.Fatalf("%s: the record has changed", c.sentence)
		}
	}
}

// zeros is an input without an end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAnInputWithoutAnEndIsNotReadToItsEnd(t *testing.T) {
	w := newWorld(t)
	cmd := w.command("import", "-")
	cmd.Stdin = zeros{}
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 5 || !strings.Contains(string(out), "64 MiB") {
		t.Errorf("exit code %d: %s", cmd.ProcessState.ExitCode(), out)
	}
}

func TestImportsAtTheSameTimeLoseNothing(t *testing.T) {
	w := newWorld(t)
	const users = 8
	var running sync.WaitGroup
	for n := range users {
		w.hold(entry{fmt.Sprintf("user%d@contoso.com", n), microsoft, homeTID, "app", fmt.Sprint("user", n)})
		w.write(fmt.Sprintf("from%d.json", n), w.record())
	}
	if err := os.Remove(w.file()); err != nil {
		t.Fatal(err)
	}
	for n := range users {
		running.Go(func() {
			if r, err := w.try("import", filepath.Join(w.dir, fmt.Sprintf("from%d.json", n))); err != nil || r.code != 0 {
				t.Errorf("import %d: exit code %d, %v\n%s", n, r.code, err, r.err)
			}
		})
	}
	running.Wait()
	cache, err := tokencache.Parse([]byte(w.record()))
	if err != nil || len(cache.Accounts()) != users {
		t.Errorf("%d users are in the record, want %d (%v)", len(cache.Accounts()), users, err)
	}
}

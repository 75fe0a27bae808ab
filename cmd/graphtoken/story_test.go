package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestAUserLogsInGetsTokensAndLogsOut(t *testing.T) {
	w := newWorld(t)
	if r := w.login(ana); r.code != 0 || !strings.Contains(r.err, "Signed in as "+ana) {
		t.Fatalf("login: exit code %d\n%s", r.code, r.err)
	}
	if info, err := os.Stat(w.file()); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the store's file: %v, %v", info, err)
	}
	status := w.ok("status")
	shows(t, "status", status, "USER", ana, "User.Read", "Mail.Read", "common")

	first := w.ok("token")
	if first == "" || strings.ContainsAny(first, " \n") {
		t.Fatalf("the token is %q", first)
	}
	if again := w.ok("token"); again != first {
		t.Error("a valid token was replaced")
	}
	if n := w.idp.Grants().RefreshesSucceeded; n != 0 {
		t.Errorf("%d refreshes while the token was valid", n)
	}

	w.expire(tokencache.Query{Username: ana})
	if status := w.ok("status"); !strings.Contains(status, "expired") {
		t.Errorf("the status doesn't show that the token expired:\n%s", status)
	}
	second := w.ok("token")
	if second == first {
		t.Error("the expired token was printed")
	}
	if again := w.ok("token"); again != second {
		t.Error("the refreshed token was not stored")
	}
	if n := w.idp.Grants().RefreshesSucceeded; n != 1 {
		t.Errorf("%d refreshes for one expiry", n)
	}

	if r := w.run("refresh"); r.code != 0 || r.out != "" {
		t.Errorf("refresh: exit code %d, output %q\n%s", r.code, r.out, r.err)
	}
	if third := w.ok("token"); third == second {
		t.Error("the forced refresh gave the old token")
	}

	w.ok("logout")
	w.fails(3, "token")
	w.fails(3, "status")
	w.fails(3, "logout")
}

func TestStatusIsPrintedAsJSON(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	var report struct {
		Store, Key string
		Accounts   []struct {
			Username    string
			ClientID    string `json:"client_id"`
			Scopes      []string
			ExpiresOn   time.Time `json:"expires_on"`
			Expired     bool
			Refreshable bool
		}
	}
	if err := json.Unmarshal([]byte(w.ok("status", "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if report.Key != "tokens.json" || len(report.Accounts) != 1 {
		t.Fatalf("the report is %+v", report)
	}
	a := report.Accounts[0]
	if a.Username != ana || a.ClientID != entra.PublicClient || len(a.Scopes) < 2 || a.Expired || !a.Refreshable || time.Until(a.ExpiresOn) < time.Minute {
		t.Errorf("the account is %+v", a)
	}
}

func TestTwoUsersShareARecord(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	anas := w.ok("token")
	w.login(bo)
	if r := w.fails(3, "token"); !strings.Contains(r.err, ana) || !strings.Contains(r.err, bo) || !strings.Contains(r.err, "--user") {
		t.Errorf("who is there isn't told: %s", r.err)
	}
	if got := w.ok("token", "--user", ana); got != anas {
		t.Error("Ana's token changed when Bo signed in")
	}
	bos := w.ok("token", "--user", bo)
	if bos == anas {
		t.Error("Bo got Ana's token")
	}
	w.expire(tokencache.Query{Username: ana})
	w.ok("token", "--user", ana)
	if got := w.ok("token", "--user", bo); got != bos {
		t.Error("Bo's token changed when Ana's was refreshed")
	}
	w.fails(3, "token", "--user", "zoe@contoso.com")
	w.fails(3, "status", "--user", "zoe@contoso.com")
	w.fails(3, "logout")
	w.ok("logout", "--user", ana)
	if got := w.ok("token"); got != bos { // alone now
		t.Error("Bo's token changed when Ana signed out")
	}
}

func TestARecordIsEncryptedAndReadWithItsKey(t *testing.T) {
	w := newWorld(t)
	keyFile, manager := newKeyFile(t, w)
	if info, err := os.Stat(keyFile); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info, err)
	}
	w.fails(2, "keygen", keyFile)

	w.set("GRAPHTOKEN_KEY_FILE=" + keyFile)
	if r := w.login(ana); r.code != 0 {
		t.Fatal(r.err)
	}
	first := w.ok("token")
	record, err := os.ReadFile(w.file())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(record), first) || strings.Contains(string(record), "AccessToken") {
		t.Error("the record is not encrypted")
	}
	w.expire(tokencache.Query{Username: ana}, core.WithCryptography(manager))
	if second := w.ok("token"); second == first {
		t.Error("the expired token was printed")
	}

	// The same keys from a variable.
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	w.set("GRAPHTOKEN_KEY_FILE=", "GRAPHTOKEN_KEYS="+lines[len(lines)-1])
	w.ok("token")

	w.set("GRAPHTOKEN_KEYS=")
	if r := w.fails(5, "token"); !strings.Contains(r.err, "--key-file") {
		t.Errorf("without the key nobody is told about keys: %s", r.err)
	}
	other := filepath.Join(w.dir, "other")
	w.ok("keygen", other)
	w.fails(5, "token", "--key-file", other)
	w.fails(5, "login", "--client-id", entra.PublicClient, "--key-file", other)
}

func TestAPlainRecordIsEncryptedInPlace(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	keyFile, _ := newKeyFile(t, w)
	w.set("GRAPHTOKEN_KEY_FILE=" + keyFile)
	if r := w.fails(5, "token"); !strings.Contains(r.err, "--plaintext-reads") {
		t.Errorf("the way out isn't told: %s", r.err)
	}
	w.ok("refresh", "--plaintext-reads")
	w.ok("token")
}

func TestEightProcessesAtExpiryRefreshOnce(t *testing.T) {
	w := newWorld(t)
	keyFile, manager := newKeyFile(t, w)
	w.set("GRAPHTOKEN_KEY_FILE=" + keyFile)
	w.login(ana)
	for expiry := 1; expiry <= 3; expiry++ {
		w.expire(tokencache.Query{Username: ana}, core.WithCryptography(manager))
		var wg sync.WaitGroup
		tokens := make([]string, 8)
		for i := range tokens {
			wg.Go(func() {
				r, err := w.try("token")
				if err != nil || r.code != 0 {
					t.Errorf("process %d: exit code %d, %v\n%s", i, r.code, err, r.err)
				}
				tokens[i] = r.out
			})
		}
		wg.Wait()
		for i := range tokens {
			if tokens[i] != tokens[0] {
				t.Errorf("process %d printed another token than process 0", i)
			}
		}
		g := w.idp.Grants()
		if g.RefreshesSucceeded != expiry || g.ReuseDetected != 0 {
			t.Fatalf("after %d expiries: %d refreshes, %d spent tokens presented", expiry, g.RefreshesSucceeded, g.ReuseDetected)
		}
	}
}

func TestLoginThroughALoopbackListener(t *testing.T) {
	w := newWorld(t)
	r := w.loginBy(func(address string, _ io.Writer) error {
		return w.idp.BrowseAs(bo)(address)
	}, "--listen")
	if r.code != 0 || !strings.Contains(r.err, bo) {
		t.Fatalf("login: exit code %d\n%s", r.code, r.err)
	}
	w.ok("token", "--user", bo)
}

func TestAnApplicationLogsItselfIn(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient)
	w.fails(2, "login", "--client-credentials") // without a secret
	secretFile := filepath.Join(w.dir, "secret")
	if err := os.WriteFile(secretFile, []byte(entra.ConfidentialSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.ok("login", "--client-credentials", "--client-secret-file", secretFile)
	w.set("GRAPHTOKEN_CLIENT_SECRET=" + entra.ConfidentialSecret)
	if status := w.ok("status"); !strings.Contains(status, "application "+entra.ConfidentialClient) {
		t.Errorf("the status is\n%s", status)
	}
	first := w.ok("token", "--client-credentials")
	if again := w.ok("token"); again != first { // there are no users
		t.Error("the application's token was not found without the flag")
	}
	w.expire(tokencache.Query{App: true})
	if second := w.ok("token"); second == first {
		t.Error("the expired token was printed")
	}
	w.ok("logout")
	// The secret is enough to begin anew.
	w.ok("token", "--client-credentials")

	w.set("GRAPHTOKEN_CLIENT_SECRET=wrong-secret-canary")
	w.secrets["wrong-secret-canary"] = true
	w.fails(6, "login", "--client-credentials")
}

func TestAVariableIsAStoreThatIsReadOnly(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	token := w.ok("token")
	record, err := os.ReadFile(w.file())
	if err != nil {
		t.Fatal(err)
	}
	w.set("MYTOKEN="+string(record), "GRAPHTOKEN_STORE=env://MYTOKEN")
	if got := w.ok("token"); got != token {
		t.Error("the variable's token is another one")
	}
	if r := w.fails(5, "login", "--client-id", entra.PublicClient); !strings.Contains(r.err, "?file=") {
		t.Errorf("the way out isn't told: %s", r.err)
	}

	// A refresh can't be saved there. The token is good all the same.
	w.set("GRAPHTOKEN_STORE=file://" + w.file())
	w.expire(tokencache.Query{Username: ana})
	if record, err = os.ReadFile(w.file()); err != nil {
		t.Fatal(err)
	}
	w.set("MYTOKEN="+string(record), "GRAPHTOKEN_STORE=env://MYTOKEN")
	r := w.fails(7, "token")
	if fresh := strings.TrimSpace(r.out); fresh == "" || fresh == token {
		t.Errorf("the fresh token was not printed: %s", r.err)
	}
}

func TestADotenvFileIsAStore(t *testing.T) {
	w := newWorld(t)
	dotenv := filepath.Join(w.dir, "settings.env")
	if err := os.WriteFile(dotenv, []byte("OTHER=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.set("GRAPHTOKEN_STORE=env://O365TOKEN?file=settings.env")
	if r := w.login(ana); r.code != 0 {
		t.Fatal(r.err)
	}
	first := w.ok("token")
	w.ok("refresh")
	if second := w.ok("token"); second == first {
		t.Error("the refreshed token was not stored")
	}
	text, err := os.ReadFile(dotenv)
	if err != nil || !strings.HasPrefix(string(text), "OTHER=1\n") {
		t.Errorf("the file's other lines: %v", err)
	}
}

func TestAFileStoreCanBeNamedInSeveralForms(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	token := w.ok("token")
	w.set("GRAPHTOKEN_STORE=")
	for _, args := range [][]string{
		{"--store", "file://" + w.file()},
		{"--store", "file://localhost" + w.file()},
		{"--store", "file:store/tokens.json"},
		{"--store", "file:./store/tokens.json"},
		{"--store", "file:st%6Fre/tokens.json"},
		{"--store", "store/tokens.json"},
		{"--store", "file:store/", "--record", "tokens.json"},
		{"--store", "file:store", "--record", "tokens.json"},
	} {
		if got := w.ok(append([]string{"token"}, args...)...); got != token {
			t.Errorf("%v gives another token", args)
		}
	}
	for _, args := range [][]string{
		{"--store", "file:"},
		{"--store", "file://otherhost/tokens.json"},
		{"--store", "file:store/tokens.json", "--record", "tokens.json"},
		{"--store", "file:store/tokens.json?mode=0600"},
		{"--store", "gopher://hole"},
		{"--store", "env://A", "--record", "B"},
		{"--store", "env://A?flie=.env"},
		{"--store", "file:store/", "--record", strings.Repeat("a", 151)},
	} {
		w.fails(2, append([]string{"status"}, args...)...)
	}
}

func TestTheDefaultStoreIsTheUsersOwn(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_STORE=", "XDG_CONFIG_HOME="+filepath.Join(w.dir, "config"))
	if r := w.login(ana); r.code != 0 {
		t.Fatal(r.err)
	}
	w.ok("token")
	if runtime.GOOS == "linux" {
		if _, err := os.Stat(filepath.Join(w.dir, "config", "graphtoken", "tokens.json")); err != nil {
			t.Error(err)
		}
	}
}

func TestEachKindOfFailureHasItsExitCode(t *testing.T) {
	w := newWorld(t)
	w.fails(2, "tokne")
	w.fails(2, "token", "--no-such-flag")
	w.fails(2, "login") // without a client ID
	w.fails(2, "token", "--key-file", filepath.Join(w.dir, "missing"))

	w.login(ana)
	w.expire(tokencache.Query{Username: ana})
	w.idp.Inject(entra.Refresh, entra.Unavailable())
	w.fails(6, "token")
	w.ok("token") // it was only an outage

	w.idp.Revoke(ana)
	if r := w.fails(4, "refresh"); !strings.Contains(r.err, "graphtoken login") {
		t.Errorf("the way out isn't told: %s", r.err)
	}
	w.idp.Close()
	w.fails(6, "refresh")

	for _, broken := range []string{"", "{", "not a token", `{"token_type": "Bearer", "access_token": "canary", "refresh_token": "x"}`} {
		if err := os.WriteFile(w.file(), []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"status", "token", "refresh", "logout"} {
			w.fails(5, command)
		}
		w.fails(5, "login", "--client-id", entra.PublicClient) // and is not overwritten
		if data, err := os.ReadFile(w.file()); err != nil || string(data) != broken {
			t.Errorf("the broken record changed: %v", err)
		}
	}
}

func TestAFailedLoginShowsNoSecretAndStoresNothing(t *testing.T) {
	w := newWorld(t)
	paste := func(text string) func(string, io.Writer) error {
		return func(_ string, stdin io.Writer) error {
			_, err := fmt.Fprintln(stdin, text)
			return err
		}
	}
	for text, code := range map[string]int{"https://host/?code=canary-code&state=wrong": 4, "nonsense": 1, "": 4} {
		if r := w.loginBy(paste(text)); r.code != code || strings.Contains(r.err, "canary") {
			t.Errorf("%q: exit code %d\n%s", text, r.code, r.err)
		}
	}
	declined := w.loginBy(func(address string, stdin io.Writer) error {
		redirect, err := w.idp.SignIn(address + "&error=1")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(stdin, redirect)
		return err
	})
	if declined.code != 6 || !strings.Contains(declined.err, "access_denied") {
		t.Errorf("a user who declines: exit code %d\n%s", declined.code, declined.err)
	}
	if _, err := os.Stat(w.file()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was stored: %v", err)
	}
}

func TestAnInterruptEndsTheLogin(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED, not covered here: Windows has no interrupt for one process")
	}
	w := newWorld(t)
	cmd := w.command("login", "--client-id", entra.PublicClient)
	stdin, err := cmd.StdinPipe() // stays open
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stderr.Read(make([]byte, 1)); err != nil { // the address: it waits for us
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, stderr)
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
}

// The provider holds the answer back while the user gives up: what it then
// says must still be saved, because the old refresh token is spent.
func TestAnInterruptLosesNoTokens(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED, not covered here: Windows has no interrupt for one process")
	}
	w := newWorld(t)
	w.login(ana)
	gate := entra.NewGate()
	defer gate.Open()
	w.idp.Inject(entra.Refresh, entra.Fault{HoldReply: gate})
	cmd := w.command("refresh")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := gate.Await(w.ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	_ = cmd.Wait()
	w.expire(tokencache.Query{Username: ana})
	w.ok("token")
	if g := w.idp.Grants(); g.ReuseDetected != 0 {
		t.Errorf("%d spent tokens were presented", g.ReuseDetected)
	}
}

func TestVerboseShowsWhatHappensAndNoSecrets(t *testing.T) {
	w := newWorld(t)
	w.login(ana, "--verbose")
	w.expire(tokencache.Query{Username: ana})
	r := w.run("token", "--verbose")
	if r.code != 0 || !strings.Contains(r.err, "refresh") || strings.TrimSpace(r.out) == "" {
		t.Errorf("exit code %d, log:\n%s", r.code, r.err)
	}
	w.idp.Revoke(ana)
	w.fails(4, "refresh", "--verbose")
}

func TestHelpTellsTheExitCodesAndTheStores(t *testing.T) {
	w := newWorld(t)
	help := w.ok() + w.ok("help", "flags")
	shows(t, "the help", help, "help exit-codes", "help stores", "GRAPHTOKEN_KEYS", "GRAPHTOKEN_STORE")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	shows(t, "README.md", string(readme), "| 0 |", "| 1 |", "| 2 |", "| 3 |", "| 4 |", "| 5 |", "| 6 |", "| 7 |", "| 130 |")
}

func TestALoginThatCannotBeSavedIsNotBegun(t *testing.T) {
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.dir, "blocked"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := w.fails(5, "login", "--client-id", entra.PublicClient, "--store", "file:blocked/sub/tokens.json") // a file stands where a directory should
	if strings.Contains(r.err, "https://") {
		t.Errorf("the user was asked to sign in: %s", r.err)
	}
	w.fails(2, "login", "--client-id", entra.PublicClient, "--console", "--port", "8080")
	w.fails(2, "login", "--client-id", entra.PublicClient, "--listen", "--port", "99999")
	w.fails(2, "login", "--client-id", entra.PublicClient, "--listen", "--redirect-url", "https://localhost")
}

func TestABrokenRecordIsNotTakenForAnEncryptedOne(t *testing.T) {
	w := newWorld(t)
	if err := os.Mkdir(filepath.Dir(w.file()), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"", `{"AccessToken":{`, `{"access_token":"x","refresh_token":"r","expires_at":1}`} {
		if err := os.WriteFile(w.file(), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"status", "token", "login", "logout"} {
			r := w.fails(5, command)
			if !strings.Contains(r.err, "move it away") && !strings.Contains(r.err, "graphtoken import") || strings.Contains(r.err, "--key-file") {
				t.Errorf("%s with %q advises: %s", command, content, r.err)
			}
		}
	}
}

func TestTheKeyIsInAFileWhereThereIsNoKeychain(t *testing.T) {
	w := newWorld(t)
	w.set("DBUS_SESSION_BUS_ADDRESS=unix:path=" + filepath.Join(w.dir, "nobody"))
	if r := w.login(ana, "--keychain", "mail"); r.code == 0 || !strings.Contains(r.err, "keychain") {
		t.Errorf("without a keychain: exit code %d, %s", r.code, r.err)
	}
	if r := w.login(ana, "--keychain", "mail", "--keychain-file"); r.code != 0 {
		t.Fatalf("exit code %d: %s", r.code, r.err)
	}
	data, err := os.ReadFile(w.file())
	if err != nil || strings.HasPrefix(string(data), "{") {
		t.Errorf("the record is not encrypted: %v", err)
	}
	if status := w.ok("status", "--keychain", "mail", "--keychain-file"); !strings.Contains(status, "encrypted with key") || !strings.Contains(status, ana) {
		t.Errorf("status doesn't say where the key is: %s", status)
	}
	w.fails(2, "status", "--keychain-file")
	w.fails(2, "status", "--keychain", "mail", "--key-file", "keys")
}

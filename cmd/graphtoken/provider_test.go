package main_test

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestAfterTheLoginNoCommandNeedsTheOptionsOfTheLogin(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	w.login(bo, "--scope", "Calendars.Read")
	w.forgetEnvironment()
	w.set("GRAPHTOKEN_USER=" + ana)
	first := w.ok("token")
	w.ok("refresh")
	if w.ok("token") == first {
		t.Error("refresh has no effect")
	}
	w.expire(tokencache.Query{Username: ana, Scopes: []string{"Mail.Read"}})
	w.ok("token")
	for _, args := range [][]string{
		{"status"}, {"list"}, {"inspect"}, {"whoami", "--graph", w.idp.URL()}, {"exec", "--", binary, "--version"},
		{"agent", "--idle-timeout", "1ms"},
	} {
		w.ok(args...)
	}
	w.set("GRAPHTOKEN_USER=")
	if r := w.run("keepalive"); r.code != 0 || !strings.Contains(r.err, "2 young enough") {
		t.Errorf("keepalive: exit code %d\n%s", r.code, r.err)
	}
	w.age(80 * 24 * 3600e9)
	if r := w.run("keepalive"); r.code != 0 || !strings.Contains(r.err, "2 refresh tokens renewed") {
		t.Errorf("keepalive: exit code %d\n%s", r.code, r.err)
	}
	w.ok("logout", "--user", ana)
	p := w.start("login") // Bo is the only user left
	address := p.line(t, "https://")
	shows(t, "the second login's address", address, w.idp.URL(), entra.PublicClient, "Calendars.Read")
	p.stdin.Close()
	p.end(w)
}

func TestTheTenantOfALoginIsRememberedAndAFlagWins(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=" + w.idp.URL())
	w.login(ana, "--tenant", entra.Tenant)
	asked := func() string {
		log := w.idp.Grants().Log
		return log[len(log)-1].Tenant
	}
	for _, named := range []bool{true, false} {
		if !named {
			w.forgetEnvironment()
		}
		w.ok("refresh")
		if got := asked(); got != entra.Tenant {
			t.Errorf("the tenant %s was asked, want %s", got, entra.Tenant)
		}
		const other = "99999999-0000-4000-8000-000000000009"
		if r := w.run("refresh", "--tenant", other); r.code == 0 || !strings.Contains(r.err, other) {
			t.Errorf("the flag's tenant wasn't asked: %s", r.err)
		}
	}
}

func TestAnApplicationsOptionsAreRemembered(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY="+w.idp.URL(), "GRAPHTOKEN_CLIENT_SECRET="+entra.ConfidentialSecret)
	w.ok("login", "--client-credentials", "--client-id", entra.ConfidentialClient, "--tenant", entra.Tenant)
	w.forgetEnvironment()
	first := w.ok("token")
	w.ok("refresh")
	if w.ok("token") == first {
		t.Error("refresh has no effect")
	}
	w.ok("login", "--client-credentials")
	w.login(ana)
	w.ok("token", "--client-credentials")
}

func TestATokenForAnotherScopeDoesNotBecomeTheDefaultOfAnApplication(t *testing.T) {
	for name, signIn := range map[string]func(*world){
		"after a login":   func(w *world) { w.ok("login", "--client-credentials") },
		"without a login": func(*world) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_SECRET="+entra.ConfidentialSecret, "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient)
			signIn(w)
			const other = "https://vault.azure.net/.default"
			w.ok("token", "--scope", other)
			first := w.ok("token", "--format", "json")
			if strings.Contains(first, "vault") {
				t.Errorf("the plain token is another's: %s", first)
			}
			w.ok("refresh", "--scope", other)
			if w.ok("token", "--format", "json") != first {
				t.Error("the plain token is another now")
			}
		})
	}
}

// An agent has the scopes that it was started with, and hands out tokens for no others.
func TestATokenForAnotherScopeThatAnAgentObtainsDoesNotBecomeTheDefault(t *testing.T) {
	for name, signIn := range map[string]func(*world){
		"of a user": func(w *world) { w.login(ana) },
		"of a user whom another program signed in": func(w *world) {
			w.login(ana)
			w.forget()
		},
		"of an application": func(w *world) {
			w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_SECRET="+entra.ConfidentialSecret, "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			signIn(w)
			scope := "Calendars.Read"
			if strings.Contains(name, "application") {
				scope = "https://vault.azure.net/.default"
			}
			w.fails(2, "exec", "--", binary, "token", "--scope", scope)
			other := w.token("exec", "--scope", scope, "--", binary, "token")
			first := w.ok("token")
			if other == first {
				t.Error("the plain token is that of the agent's scope")
			}
			if w.token("exec", "--", binary, "token") != first || w.ok("token") != first {
				t.Error("the plain token is another now")
			}
		})
	}
}

// token runs a command that prints a token, and must succeed.
func (w *world) token(args ...string) string {
	w.t.Helper()
	out, err := w.command(args...).Output()
	if err != nil {
		w.t.Fatalf("%v: %v", args, err)
	}
	token := strings.TrimSpace(string(out))
	w.secrets[token] = true
	return token
}

// listener is a provider of somebody's own, with a certificate that the user's machine
// trusts. It counts requests.
func (w *world) listener() (host string, received *atomic.Int32) {
	w.t.Helper()
	received = new(atomic.Int32)
	s := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		received.Add(1)
		http.Error(rw, "{}", http.StatusBadRequest)
	}))
	w.t.Cleanup(s.Close)
	ca := filepath.Join(w.dir, "both.pem")
	both := append(w.idp.CertPEM(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})...)
	if err := os.WriteFile(ca, both, 0o600); err != nil {
		w.t.Fatal(err)
	}
	w.set("GRAPHTOKEN_CA="+ca, "SSL_CERT_FILE="+ca)
	return strings.TrimPrefix(s.URL, "https://"), received
}

// rewrite changes the record as somebody who can write to the store.
func (w *world) rewrite(change func(text string) string) {
	w.t.Helper()
	data, err := os.ReadFile(w.file())
	if err != nil {
		w.t.Fatal(err)
	}
	text := change(string(data))
	if text == string(data) || !json.Valid([]byte(text)) {
		w.t.Fatalf("the record doesn't change so: %.200s", text)
	}
	w.holdData([]byte(text))
}

// The attack: whoever can write to the store names a provider of their own in the record,
// to get the application's secret and refresh tokens.
func TestAProviderThatARecordNamesGetsNothingUnlessTheUserNamedIt(t *testing.T) {
	everything := [][]string{
		{"token"}, {"token", "--scope", "Calendars.Read"}, {"refresh"}, {"whoami"}, {"exec", "--", binary, "--version"}, {"agent", "--idle-timeout", "1ms"},
		{"login"}, {"login", "--device-code"}, {"login", "start"},
	}
	for _, c := range []struct {
		name   string
		signIn func(w *world)
		change func(w *world, text, evil string) string
		try    [][]string
	}{
		{"the remembered authority is another", func(w *world) { w.login(ana, "--client-id", entra.ConfidentialClient) }, func(w *world, text, evil string) string {
			return strings.ReplaceAll(text, w.idp.URL(), "https://"+evil)
		}, everything},
		{"all entries are another provider's", func(w *world) { w.login(ana, "--client-id", entra.ConfidentialClient) }, func(w *world, text, evil string) string {
			return strings.ReplaceAll(text, w.idp.Addr(), evil)
		}, append(everything, []string{"keepalive"})},
		{"an application's remembered authority is another", func(w *world) { w.ok("login", "--client-credentials", "--client-id", entra.ConfidentialClient) },
			func(w *world, text, evil string) string { return strings.ReplaceAll(text, w.idp.Addr(), evil) },
			[][]string{{"token"}, {"token", "--scope", "https://vault.azure.net/.default"}, {"refresh"}, {"exec", "--", binary, "--version"}, {"login", "--client-credentials"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_SECRET="+entra.ConfidentialSecret)
			c.signIn(w)
			evil, received := w.listener()
			w.rewrite(func(text string) string { return c.change(w, text, evil) })
			w.set("GRAPHTOKEN_AUTHORITY=")
			for _, args := range c.try {
				if r := w.fails(w.codeOf(args), args...); !strings.Contains(r.err, evil) || !strings.Contains(r.err, "--authority") {
					t.Errorf("%v doesn't name the provider and the way out: %s", args, r.err)
				}
			}
			if n := received.Load(); n != 0 {
				t.Errorf("the provider of somebody else got %d requests", n)
			}
			w.run("token", "--authority", "https://"+evil+"/common")
			if c.name != "the remembered authority is another" && received.Load() == 0 {
				w.run("refresh", "--authority", "https://"+evil+"/"+entra.Tenant)
				if received.Load() == 0 {
					t.Error("the test's provider can't be reached, so the test shows nothing")
				}
			}
		})
	}
}

// codeOf is the exit code of a command at a provider that the user hasn't named.
func (w *world) codeOf(args []string) int {
	if args[0] == "keepalive" { // other users' tokens are renewed
		return 1
	}
	return 3
}

func TestOnAnotherMachineTheProviderIsNamedOnce(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	w.forgetEnvironment()
	elsewhere := &world{dir: filepath.Join(w.dir, "elsewhere")}
	w.set("HOME="+elsewhere.dir, "AppData="+filepath.Join(elsewhere.dir, ".config"))
	w.fails(3, "refresh")
	w.rememberEnvironment()
	w.ok("refresh")
	w.forgetEnvironment()
	w.fails(3, "refresh") // naming it for a refresh says nothing about later commands
	w.rememberEnvironment()
	w.login(ana)
	w.forgetEnvironment()
	w.ok("refresh")
	if data, err := os.ReadFile(filepath.Join(elsewhere.config(), "providers.json")); err != nil || !bytes.Contains(data, []byte("ca.pem")) {
		t.Errorf("the machine's providers are %s, %v", data, err)
	}
}

func TestAFileOfProvidersThatOthersCanWriteIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows' files have no modes")
	}
	w := newWorld(t)
	w.login(ana)
	w.forgetEnvironment()
	if err := os.Chmod(filepath.Join(w.config(), "providers.json"), 0o666); err != nil {
		t.Fatal(err)
	}
	if r := w.fails(1, "refresh"); !strings.Contains(r.err, "chmod 600") {
		t.Errorf("the way out isn't told: %s", r.err)
	}
}

func TestAMicrosoftCloudThatARecordNamesIsTrusted(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=")
	w.hold(entry{ana, "login.microsoftonline.us", "common", "app", "of-us"})
	if got := w.ok("token"); got != "token-of-of-us" {
		t.Errorf("the token is %s", got)
	}
	for _, evil := range []string{"evil.servicebus.windows.net", "login.microsoftonline.com.evil.example", "evil.microsoftonline.com", "NAME.b2clogin.com"} {
		w.hold(entry{ana, evil, "common", "app", "of-evil"})
		w.fails(3, "token")
	}
}

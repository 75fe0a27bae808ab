package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func (w *world) configFile() string {
	return filepath.Join(w.config(), "config.toml")
}

// configure makes the file of profiles.
func (w *world) configure(text string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.configFile()), 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.configFile(), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) configText() string {
	w.t.Helper()
	text, err := os.ReadFile(w.configFile())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

func TestAProfileHasWhatNoFlagAndNoVariableNames(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	w.login(bo)
	ca := filepath.Join(w.dir, "ca.pem")
	w.set("GRAPHTOKEN_STORE=", "GRAPHTOKEN_AUTHORITY=", "GRAPHTOKEN_CA=")
	for _, set := range [][]string{{"store", "file://" + w.file()}, {"authority", w.idp.Authority("common")}, {"ca", ca}, {"user", ana}, {"scope", "User.Read", "Mail.Read"}} {
		w.ok(append([]string{"config", "set"}, set...)...)
		w.ok(append([]string{"config", "set", "--profile", "bos"}, set...)...)
	}
	w.ok("config", "set", "--profile", "bos", "user", bo)
	whose := func(args ...string) string {
		t.Helper()
		var report struct{ Accounts []struct{ Username string } }
		if err := json.Unmarshal([]byte(w.ok(append([]string{"status", "--json"}, args...)...)), &report); err != nil || len(report.Accounts) != 1 {
			t.Fatalf("the status has %v, %v", report.Accounts, err)
		}
		return report.Accounts[0].Username
	}
	for _, c := range []struct {
		name, variables string
		args            []string
		want            string
	}{
		{"the profile default counts if none is named", "", nil, ana},
		{"a profile that a flag names counts", "", []string{"--profile", "bos"}, bo},
		{"a profile that a variable names counts", "GRAPHTOKEN_PROFILE=bos", nil, bo},
		{"a flag comes before a variable", "GRAPHTOKEN_PROFILE=bos", []string{"--profile", "default"}, ana},
		{"a variable comes before the profile", "GRAPHTOKEN_USER=" + bo, nil, bo},
		{"a flag comes before the profile", "", []string{"--user", bo}, bo},
		{"a flag comes before a variable and the profile", "GRAPHTOKEN_USER=" + ana, []string{"--user", bo}, bo},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := w.env
			defer func() { w.env = before }()
			if c.variables != "" {
				w.set(c.variables)
			}
			if got := whose(c.args...); got != c.want {
				t.Errorf("the user is %s, want %s", got, c.want)
			}
		})
	}
	if first := w.ok("token"); w.ok("token", "--profile", "bos") == first {
		t.Error("two profiles have one token")
	}
	w.ok("refresh")
	if r := w.fails(2, "token", "--profile", "none"); !strings.Contains(r.err, "config list") {
		t.Errorf("the way out isn't told: %s", r.err)
	}
	w.fails(2, "keygen", "--profile", "bos", "file")
	w.ok("config", "set", "--profile", "all", "store", "file://"+filepath.Dir(w.file())+"/")
	w.ok("status", "--profile", "all", "--record", filepath.Base(w.file()))
	w.fails(3, "status", "--store", "file:elsewhere/tokens.json") // and the profile's user isn't there
}

// A profile's certificate doesn't count beside a secret that a flag names, and so on.
func TestAFlagReplacesTheProfilesAlternativesToIt(t *testing.T) {
	w := newWorld(t)
	secret := filepath.Join(w.dir, "secret")
	if err := os.WriteFile(secret, []byte(entra.ConfidentialSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	w.login(ana)
	w.configure("[profiles.default]\nclient-credentials = true\ncertificate = 'none.pem'\nkeychain = 'none'\ntenant = 'contoso.com'\n")
	keys, _ := newKeyFile(t, w)
	w.ok("status", "--user", ana, "--key-file", keys, "--plaintext-reads")
	w.ok("login", "--client-credentials", "--client-secret-file", secret, "--client-id", entra.ConfidentialClient,
		"--authority", w.idp.Authority(entra.Tenant), "--key-file", keys, "--plaintext-reads")
	w.configure("[profiles.default]\nauthority = '" + w.idp.Authority("common") + "'\nrecord = 'other'\n")
	w.set("GRAPHTOKEN_AUTHORITY=", "GRAPHTOKEN_CLIENT_SECRET="+entra.ConfidentialSecret)
	w.ok("login", "--client-credentials", "--client-id", entra.ConfidentialClient, "--tenant", entra.Tenant, "--store", "file:"+filepath.Join(w.dir, "third", "tokens.json"))
}

func TestConfigSetLeavesTheRestOfTheFileAsItIs(t *testing.T) {
	const text = `# My profiles. Don't lose this.
[profiles.default] # at home
client-id = "old"   # the one of the "trial"
scope = ["User.Read"]

# work
[profiles.work]
tenant = 'contoso.com'
# the end`
	w := newWorld(t)
	w.configure(text)
	w.ok("config", "set", "client-id", "new")
	w.ok("config", "set", "--profile", "work", "client-credentials", "true")
	w.ok("config", "set", "user", ana)
	w.ok("config", "set", "--profile", "third", "tenant", "x")
	const want = `# My profiles. Don't lose this.
[profiles.default] # at home
client-id = 'new' # the one of the "trial"
scope = ["User.Read"]
user = 'ana@contoso.com'

# work
[profiles.work]
tenant = 'contoso.com'
client-credentials = true
# the end

[profiles.third]
tenant = 'x'
`
	if got := w.configText(); got != want {
		t.Errorf("the file is\n%s", got)
	}
	if got := w.ok("config", "get", "client-id"); got != "new" {
		t.Errorf("the client ID is %s", got)
	}
	w.ok("config", "unset", "client-id")
	w.fails(3, "config", "get", "client-id")
	w.fails(3, "config", "unset", "client-id")
	if info, err := os.Stat(w.configFile()); runtime.GOOS != "windows" && (err != nil || info.Mode().Perm() != 0o600) {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
}

func TestConfigSetRefusesAFileThatItWouldDamage(t *testing.T) {
	for name, text := range map[string]string{
		"a value of several lines": "[profiles.default]\nscope = [\n  'User.Read',\n]\n",
		"a table in a line":        "[profiles]\ndefault = { scope = ['User.Read'] }\n",
	} {
		w := newWorld(t)
		w.configure(text)
		w.ok("config", "list")
		if r := w.fails(2, "config", "set", "scope", "Mail.Read"); !strings.Contains(r.err, "with an editor") {
			t.Errorf("%s: the way out isn't told: %s", name, r.err)
		}
		if w.configText() != text {
			t.Errorf("%s: the file became %s", name, w.configText())
		}
	}
}

func TestAProfileHasNoSecrets(t *testing.T) {
	const key = "gtkey1_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	w := newWorld(t)
	for _, c := range []struct{ key, value, want string }{
		{"client-secret", "canary", "GRAPHTOKEN_CLIENT_SECRET"},
		{"keys", "canary", "GRAPHTOKEN_KEYS"},
		{"certificate-password", "canary", "GRAPHTOKEN_CERTIFICATE_PASSWORD"},
		{"store", "redis://user:canary@host/0", "help stores"},
		{"store", "postgres://host/db?user=mail&password=canary", "help stores"},
		{"key-file", key, "looks like one"},
	} {
		if r := w.fails(2, "config", "set", c.key, c.value); !strings.Contains(r.err, c.want) || strings.Contains(r.err, "canary") || strings.Contains(r.err, key) {
			t.Errorf("config set %s: %s", c.key, r.err)
		}
		w.configure("[profiles.default]\n" + c.key + " = '" + c.value + "'\n")
		for _, args := range [][]string{{"status"}, {"config", "list"}} {
			if r := w.fails(2, args...); !strings.Contains(r.err, "config.toml") || !strings.Contains(r.err, c.want) || strings.Contains(r.err+r.out, "canary") || strings.Contains(r.err+r.out, key) {
				t.Errorf("%s with %s in a profile: %s", args, c.key, r.err)
			}
		}
		if err := os.Remove(w.configFile()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABrokenFileOfProfilesIsAnErrorWithItsLine(t *testing.T) {
	w := newWorld(t)
	for text, want := range map[string]string{
		"[profiles.default]\n\nclient-idd = 'x'\n":   "config.toml:3: there is no key client-idd",
		"[profiles.default]\nclient-id = x\n":        "config.toml:2: ",
		"[profiles.default\n":                        "config.toml:1: ",
		"[profiles.default]\nclient-id = 7\n":        "config.toml:2: ",
		"[profiles.default]\nscope = 'User.Read'\n":  "config.toml:2: ",
		"profile = 'default'\n":                      "config.toml:1: there is no key profile",
		"[profiles.default]\nuser='a'\nuser = 'b'\n": "config.toml:3: ",
	} {
		w.configure(text)
		for _, args := range [][]string{{"status"}, {"config", "list"}, {"config", "set", "user", ana}} {
			if r := w.fails(2, args...); !strings.Contains(r.err, want) {
				t.Errorf("%q: %v says %s, want %s", text, args, r.err, want)
			}
		}
		w.ok("version")
		w.ok("help", "flags")
		w.ok("keygen", filepath.Join(w.dir, "key"+strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' {
				return r
			}
			return -1
		}, text)))
	}
	if runtime.GOOS == "windows" {
		return // its files have no modes
	}
	w.configure("")
	if err := os.Chmod(w.configFile(), 0o666); err != nil {
		t.Fatal(err)
	}
	if r := w.fails(2, "status"); !strings.Contains(r.err, "chmod 600") {
		t.Errorf("a file that others can change: %s", r.err)
	}
}

func TestAProfileMayHaveEachSharedFlag(t *testing.T) {
	w := newWorld(t)
	_, flags := w.commandsAndFlags()
	values := []string{"client-credentials", "shared-key-file", "keychain-file", "plaintext-reads"}
	for _, flag := range flags {
		value := "x"
		if slices.Contains(values, flag) {
			value = "true"
		}
		w.ok("config", "set", flag, value)
	}
	var listed struct{ Profiles map[string]map[string]any }
	if err := json.Unmarshal([]byte(w.ok("config", "list", "--json")), &listed); err != nil || len(listed.Profiles["default"]) != len(flags) {
		t.Errorf("the profile has %v of %v, %v", listed.Profiles["default"], flags, err)
	}
}

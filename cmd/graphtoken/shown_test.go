package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestASecretInTheWrongPlaceIsNotShown(t *testing.T) {
	const password = "pa55-word-canary"
	for _, c := range []struct {
		name string
		args []string
		env  string
	}{
		{"a key instead of its file", []string{"token", "--key-file", "KEY"}, ""},
		{"a key instead of its file, in the variable", []string{"token"}, "GRAPHTOKEN_KEY_FILE=KEY"},
		{"half a key instead of its file", []string{"token", "--key-file", "HALF"}, ""},
		{"a client secret instead of its file", []string{"token", "--client-secret-file", password}, ""},
		{"a client secret with a slash in it", []string{"token", "--client-secret-file", password + "/x"}, ""},
		{"a key as the store", []string{"token", "--store", "KEY"}, ""},
		{"a key as the store's directory", []string{"login", "--client-id", "x", "--store", "blocked/KEY/x"}, ""},
		{"a token as the store", []string{"login", "--client-id", "x", "--store", "blocked/TOKEN/x"}, ""},
		{"a token as the record", []string{"token", "--store", "file:store/", "--record", "TOKEN"}, ""},
		{"a key as the record", []string{"token", "--store", "file:store/", "--record", "KEY"}, ""},
		{"a key as the record, in the log", []string{"token", "--verbose", "--store", "file:store/", "--record", "KEY"}, ""},
		{"a key as an argument", []string{"status", "KEY"}, ""},
		{"a key as the file of a new key", []string{"keygen", "KEY"}, ""},
		{"a key as certificates", []string{"token", "--ca", "KEY"}, ""},
		{"a key as the user", []string{"token", "--user", "KEY"}, ""},
		{"a password in a store's URL", []string{"token", "--store", "redis://:" + password + "@host/0"}, ""},
		{"a password in a store's URL, without slashes", []string{"token", "--store", "redis:" + password + "@host"}, ""},
		{"a password in a file's URL", []string{"token", "--store", "file://ana:" + password + "@host/x"}, ""},
		{"a password in a store's options", []string{"token", "--store", "file:store/tokens.json?password=" + password + "%zz"}, ""},
		{"a password in the authority", []string{"token", "--client-id", "x", "--authority", "https://ana:" + password + "@host/common"}, ""},
		{"a path as the keys", []string{"token"}, "GRAPHTOKEN_KEYS=/home/" + password},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if err := os.WriteFile(filepath.Join(w.dir, "blocked"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			file, _ := newKeyFile(t, w)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			key := strings.Fields(string(text))[4]
			w.secrets[key[len(key)/2:]] = true
			w.secrets[key[8:20]] = true
			w.secrets[password] = true
			const token = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJjYW5hcnkifQ.c2lnbmVk"
			w.secrets[token[20:]] = true
			give := strings.NewReplacer("KEY", key, "HALF", key[:20], "TOKEN", token)
			var args []string
			for _, a := range c.args {
				args = append(args, give.Replace(a))
			}
			if name, value, _ := strings.Cut(c.env, "="); name != "" {
				w.set(name + "=" + give.Replace(value))
			}
			r := w.run(args...)
			if r.code == 0 || r.err == "" || r.out != "" {
				t.Errorf("exit code %d, out %q\n%s", r.code, r.out, r.err)
			}
		})
	}
}

func TestAFileThatIsThereIsNamedInErrors(t *testing.T) {
	w := newWorld(t)
	empty := filepath.Join(w.dir, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		args []string
	}{
		{2, []string{"token", "--key-file", w.dir}},
		{2, []string{"token", "--key-file", empty}},
		{2, []string{"token", "--client-secret-file", empty}},
		{2, []string{"token", "--ca", empty}},
	} {
		if r := w.fails(c.code, c.args...); !strings.Contains(r.err, c.args[1]) || !strings.Contains(r.err, c.args[2]) {
			t.Errorf("%v: %s", c.args, r.err)
		}
	}
}

func TestAKeyFileThatOthersCanReadIsRefusedUnlessThatIsAccepted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	w := newWorld(t)
	file, _ := newKeyFile(t, w)
	w.set("GRAPHTOKEN_KEY_FILE=" + file)
	w.login(ana)
	token := w.ok("token")
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := w.fails(2, "token"); !strings.Contains(r.err, file) || !strings.Contains(r.err, "--shared-key-file") {
		t.Errorf("%s", r.err)
	}
	if r := w.ok("token", "--shared-key-file"); r != token {
		t.Errorf("%v, want %v", r, token)
	}
}

func TestTheFileOfKeygenIsGoodAsAVariable(t *testing.T) {
	w := newWorld(t)
	file, _ := newKeyFile(t, w)
	w.set("GRAPHTOKEN_KEY_FILE=" + file)
	w.login(ana)
	token := w.ok("token")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(w.dir, "other")
	w.ok("keygen", other)
	more, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range []string{
		string(text),
		strings.ReplaceAll(string(text), "\n", "\r\n"),
		"\ufeff" + strings.Fields(string(text))[4],
		string(more) + string(text),
		strings.Fields(string(more))[4] + ", " + strings.Fields(string(text))[4] + " # both",
	} {
		w.set("GRAPHTOKEN_KEY_FILE=", "GRAPHTOKEN_KEYS="+keys)
		if got := w.ok("token"); got != token {
			t.Error("the token is another one")
		}
	}
}

func TestAClientSecretIsTrimmedOrNamed(t *testing.T) {
	utf16 := "\xff\xfe"
	for _, r := range entra.ConfidentialSecret {
		utf16 += string([]byte{byte(r), 0})
	}
	for _, c := range []struct {
		name string
		text string
		good bool
	}{
		{"a line end", entra.ConfidentialSecret + "\n", true},
		{"a line end of Windows", entra.ConfidentialSecret + "\r\n", true},
		{"a byte order mark", "\ufeff" + entra.ConfidentialSecret, true},
		{"UTF-16", utf16, false},
		{"a line break within", "a\nb", false},
		{"nothing but a line end", "\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient)
			file := filepath.Join(w.dir, "secret")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			from := map[string][]string{"--client-secret-file": {"GRAPHTOKEN_CLIENT_SECRET_FILE=" + file}}
			if !strings.Contains(c.text, "\x00") { // which ends a variable
				from["GRAPHTOKEN_CLIENT_SECRET"] = []string{"GRAPHTOKEN_CLIENT_SECRET_FILE=", "GRAPHTOKEN_CLIENT_SECRET=" + c.text}
			}
			for name, variables := range from {
				w.set(variables...)
				asked := w.idp.Grants().Total.Received
				if c.good {
					w.ok("login", "--client-credentials")
					continue
				}
				if r := w.fails(2, "login", "--client-credentials"); !strings.Contains(r.err, name) {
					t.Errorf("%s isn't named: %s", name, r.err)
				}
				if w.idp.Grants().Total.Received != asked {
					t.Error("the provider was asked")
				}
			}
		})
	}
}

// hostile has all that a terminal obeys: colours, a title, C1 controls, another direction
// of writing, characters that can't be seen.
const hostile = "\x1b[31mred\x1b]0;title\x07\u009b31m\u202eevil\u200b\x7f\r\nnext"

func isUnfit(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }

// nothingUnfit checks that a terminal has nothing to obey, and that every line is
// the command's own.
func nothingUnfit(t *testing.T, r result) {
	t.Helper()
	for _, text := range []string{r.out, r.err} {
		if strings.ContainsFunc(text, isUnfit) || strings.Contains(text, "\nnext") {
			t.Errorf("a terminal would obey %q", text)
		}
	}
}

func TestTextOfOthersReachesTheTerminalCleaned(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=")
	ours := entry{hostile + "1", microsoft, "realm" + hostile, "client" + hostile, "a"}
	w.hold(ours, entry{hostile + "2", "env" + hostile, "common", "app", "b"}, entry{"", "env" + hostile, "t" + hostile, "app" + hostile, "c"})
	for _, args := range [][]string{
		{"status"}, {"status", "--json"}, {"token"}, {"logout"}, {"token", "--user", hostile}, {"status", "--user", hostile},
		{"token", "--store", hostile}, {"token", "--store", "file:store/", "--record", hostile}, {"token", hostile}, {"token", "--ca", hostile},
		{"token", "--authority", "https://" + hostile}, {"token", "--verbose", "--user", hostile}, {"logout", "--user", hostile + "2"},
	} {
		nothingUnfit(t, w.run(args...))
	}
	var report struct {
		Accounts []struct{ Username, Tenant string }
	}
	if err := json.Unmarshal([]byte(w.ok("status", "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if got := report.Accounts[0]; got.Username != ours.user || got.Tenant != ours.realm {
		t.Errorf("a program reads %q", got)
	}
}

func TestTheProvidersTextReachesTheTerminalCleaned(t *testing.T) {
	w := newWorld(t)
	signedIn(w)
	text, err := json.Marshal(map[string]string{"error": "invalid_request", "error_description": hostile})
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"refresh"}, {"refresh", "--verbose"}} {
		w.idp.Inject(entra.Refresh, entra.Fault{Status: 400, Body: string(text)})
		nothingUnfit(t, w.fails(6, args...))
	}
}

// A token with CR LF became a second header in curl -H "Authorization: Bearer $(graphtoken token)".
func TestATokenThatWouldEndItsHeaderIsNotPrinted(t *testing.T) {
	for _, token := range []string{"token\r\nX-Injected: yes", "token\n", "tok\x00en", "t\u00f6ken", "tok\x7fen", "\x1b[31mtoken"} {
		w := newWorld(t)
		w.set("GRAPHTOKEN_AUTHORITY=")
		w.hold(entry{ana, microsoft, "common", "app", token})
		if r := w.fails(5, "token"); r.out != "" || !strings.Contains(r.err, "graphtoken refresh") {
			t.Errorf("%q: out %q\n%s", token, r.out, r.err)
		}
	}
}

func signedIn(w *world) { w.login(ana) }

func signedInAndExpired(w *world) {
	w.login(ana)
	w.expire(tokencache.Query{Username: ana})
}

package interop

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// command is the graphtoken command, built once for all tests. Its process ends with the
// test that started it.
var command struct {
	once sync.Once
	path string
	err  error
}

// graphtoken runs the command beside the place, and returns what it printed.
func (p place) graphtoken(t *testing.T, store string, args ...string) string {
	t.Helper()
	return p.graphtokenIn(t, nil, store, args...)
}

// graphtokenIn is graphtoken with more variables in its environment.
func (p place) graphtokenIn(t *testing.T, env []string, store string, args ...string) string {
	t.Helper()
	command.once.Do(func() {
		var dir string
		if dir, command.err = os.MkdirTemp("", "graphtoken-command-*"); command.err != nil {
			return
		}
		command.path = filepath.Join(dir, "graphtoken")
		out, err := exec.Command("go", "build", "-C", filepath.Join("..", "..", "cmd", "graphtoken"), "-buildvcs=false", "-o", command.path, ".").CombinedOutput()
		if err != nil {
			command.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if command.err != nil {
		t.Fatal(command.err)
	}
	proxy := httptest.NewServer(p.idp.Proxy())
	defer proxy.Close()
	cmd := exec.CommandContext(t.Context(), command.path, args...)
	cmd.Env = append(env, "HOME="+p.dir, "GRAPHTOKEN_STORE="+store, "GRAPHTOKEN_CA="+p.ca, "HTTPS_PROXY="+proxy.URL)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("graphtoken %s: %v\n%s", args[0], err, errs.String())
	}
	return strings.TrimSpace(out.String())
}

// A token goes from the file of another MSAL to a store, and to another file of that MSAL.
// Refresh tokens are good once.
func TestTheCommandImportsWhatAnotherMSALWroteAndExportsWhatItReads(t *testing.T) {
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			p := newPlace(t)
			them := p.theirs(t, l, entra.Tenant)
			if err := them.signIn(t); err != nil {
				t.Fatal(err)
			}
			token, err := them.look(t)
			if err != nil {
				t.Fatal(err)
			}
			store, marked := filepath.Join(t.TempDir(), "tokens.json"), filepath.Join(t.TempDir(), "marked.json")
			writeFile(t, append([]byte("\ufeff"), readFile(t, p.dir, record)...), marked) // as Windows' editors write it
			p.graphtoken(t, store, "import", marked)
			if got := p.graphtoken(t, store, "token"); got != token {
				t.Error("the command prints another token than the imported one")
			}
			p.graphtoken(t, store, "refresh")
			refreshed := p.graphtoken(t, store, "token")
			if refreshed == token {
				t.Error("the imported token wasn't refreshed")
			}

			other := place{idp: p.idp, dir: t.TempDir(), ca: p.ca}
			p.graphtoken(t, store, "export", filepath.Join(other.dir, record), "--user", entra.Ana)
			reader := other.theirs(t, l, entra.Tenant)
			var got string
			if n := p.requests(func() { got, err = reader.token(t) }); err != nil || got != refreshed || n != 0 {
				t.Errorf("%s finds the exported token: %t, after %d requests (%v)", l.name, got == refreshed, n, err)
			}
			p.idp.SetLifetime(2 * time.Hour) // of two tokens of one second, the longer-lived one counts
			again, err := reader.refresh(t)
			if err != nil {
				t.Fatalf("%s can't refresh the exported token: %v", l.name, err)
			}
			p.graphtoken(t, store, "import", filepath.Join(other.dir, record))
			if got := p.graphtoken(t, store, "token"); got != again {
				t.Errorf("the newer token of %s isn't printed after its import", l.name)
			}
			p.graphtoken(t, store, "refresh")
			if n := p.idp.Grants().ReuseDetected; n != 0 {
				t.Errorf("%d refresh tokens were sent again", n)
			}
		})
	}
}

// address is the URL of the place, as docs/from-python-o365.md has it, and what the command
// needs in its environment.
func (h home) address() (string, []string) {
	name := url.PathEscape(h.place["name"])
	switch h.place["kind"] {
	case "file":
		return "file://" + h.place["directory"] + "/#" + name, nil
	case "env":
		return "env://#" + name, []string{h.key + "=" + os.Getenv(h.key)}
	case "firestore":
		return "firestore://" + h.place["project"] + "/" + h.place["collection"] + "#" + name, h.env
	case "s3":
		return "s3://" + h.place["bucket"] + "/#" + name, h.env
	case "secrets_manager":
		return "awssecrets://" + h.place["region"] + "/#" + name, h.env
	case "bitwarden":
		of := url.Values{"api": {h.place["api"]}, "identity": {h.place["identity"]}}
		return "bitwarden://?" + of.Encode() + "#" + name, append(h.env, "BWS_ACCESS_TOKEN="+h.place["access token"])
	}
	return "sqlite://" + h.place["database"] + "?django=" + name, nil
}

func TestTheCommandImportsFromEveryPlaceOfPythonO365(t *testing.T) {
	for _, at := range homes {
		for how, key := range map[string]string{"plain": "", "encrypted, by a native name": fernetKey} {
			t.Run(at.name+", "+how, func(t *testing.T) {
				t.Parallel()
				p := newPlace(t)
				h := at.make(t, key != "")
				if at.name == "Django" {
					if _, err := h.backend(); err != nil { // which python-o365's migration has made, too
						t.Fatal(err)
					}
				}
				_, token, err := p.pythonO365(t, h, key).do(t, "sign in")
				if err != nil {
					t.Fatal(err)
				}
				store, keyFile := filepath.Join(t.TempDir(), "tokens.json"), filepath.Join(t.TempDir(), "fernet.key")
				writeFile(t, []byte(key), keyFile)
				from, env := h.address()
				args := []string{"import", from}
				if key != "" {
					args = append(args, "--fernet-key-file", keyFile)
				}
				p.graphtokenIn(t, env, store, args...)
				if got := p.graphtoken(t, store, "token"); got != token {
					t.Error("another token is printed than python-o365 obtained")
				}
				p.graphtoken(t, store, "refresh")
			})
		}
	}
}

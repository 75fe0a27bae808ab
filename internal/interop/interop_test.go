// Package interop runs the collection against the programs it shares records
// with: python-o365, and the MSALs of Go, Python, Node and Java.
package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// script is testdata/peer.py with what it finds in its environment.
type script struct {
	python string
	env    []string
}

func newScript(t *testing.T, env ...string) script {
	t.Helper()
	return script{peer.Python(t), env}
}

// run runs one of its commands, and reads what that prints into answer.
func (p script) run(t *testing.T, command string, answer any) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), p.python, "testdata/peer.py", command)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=*", "TESTKIT_ADDR=127.0.0.1:9")
	cmd.Env = append(cmd.Env, p.env...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, &complaints)
	}
	if err := json.Unmarshal(out, answer); err != nil {
		t.Fatalf("%s: %v in %q", command, err, out)
	}
}

func wantSame(t *testing.T, got, want []byte) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func readFile(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, data []byte, path ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path...), data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func wantTokens(t *testing.T, c *tokencache.Cache, q tokencache.Query, access, refresh string) {
	t.Helper()
	at, _ := c.AccessToken(q)
	rt, _ := c.RefreshToken(q)
	if at.Secret.Reveal() != access || rt.Secret.Reveal() != refresh {
		t.Errorf("%+v has the tokens %q and %q, want %q and %q", q, at.Secret.Reveal(), rt.Secret.Reveal(), access, refresh)
	}
}

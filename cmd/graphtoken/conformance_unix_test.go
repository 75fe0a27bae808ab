//go:build unix

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

func TestAStoreThatDoesNotConformIsExitCode1(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.CLI(t, "config", "set", "maxmemory-policy", "allkeys-lru") // Ping fails, and nothing else
	w := newWorld(t)
	r := w.fails(1, "conformance", "--timeout", "90s", "--store", "redis://"+server.Addr+"/0#ana")
	if !strings.Contains(r.out, "failed") || !strings.Contains(r.out, "profile core does not hold: claims/ping failed") {
		t.Errorf("the report is\n%s", r.out)
	}
	if left := server.CLI(t, "keys", "*"); strings.TrimSpace(left) != "" {
		t.Errorf("the suite left %q", left)
	}
}

func TestConformanceStopsAtAServerThatRefusesWrites(t *testing.T) {
	server := redistest.Start(t)
	server.CLI(t, "acl", "setuser", "reader", "on", ">secret", "~*", "&*", "+@read", "+@connection", "+@scripting", "+time")
	w := newWorld(t)
	r := w.fails(5, "conformance", "--store", "redis://reader:secret@"+server.Addr+"/0#ana")
	if r.out != "" || !strings.Contains(r.err, "the suite is not run, because the store can't be saved to: ") {
		t.Errorf("%s%s", r.out, r.err)
	}
}

func TestAnInterruptedConformanceLeavesNothing(t *testing.T) {
	for name, store := range map[string]string{"a directory": "file:kept/tokens.json", "a dotenv file": "env://TOKENS?file=app.env", "a database": "sqlite:tokens.db#ana"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			kept := w.mkdir("kept", 0o700)
			dotenv := filepath.Join(w.dir, "app.env")
			if err := os.WriteFile(dotenv, []byte("OTHER=1\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(w.dir, "tokens.db"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			p := w.start("conformance", "--store", store)
			p.line(t, ": basics/")
			_ = p.Process.Signal(os.Interrupt)
			if r := p.end(w); r.code != 130 || r.out != "" {
				t.Errorf("exit code %d: %s%s", r.code, r.out, r.err)
			}
			left, err := filepath.Glob(filepath.Join(kept, "*"))
			if err != nil || left != nil {
				t.Errorf("the suite left %v, %v", left, err)
			}
			if data, err := os.ReadFile(dotenv); string(data) != "OTHER=1\n" {
				t.Errorf("the suite left %q, %v", data, err)
			}
			if name == "a database" {
				w.fails(3, "list", "--store", "sqlite:tokens.db") // there is no record
			}
		})
	}
}

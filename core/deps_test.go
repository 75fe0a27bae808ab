package core_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A program that imports core gets core and the standard library, and nothing else.
func TestCoreNeedsTheStandardLibraryAlone(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(mod, []byte("require")) {
		t.Error("go.mod requires something")
	}
	cmd := exec.Command("go", "list", "-deps", "-test", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./...")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if !strings.HasPrefix(dep, "github.com/graphtoken/graphtoken/core") && !strings.HasPrefix(dep, "[") {
			t.Errorf("core depends on %s", dep)
		}
	}
}

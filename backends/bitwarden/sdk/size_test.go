//go:build cgo

package sdk_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Both clients in a program that calls Microsoft Graph by net/http, as all do that need
// this module: what counts is what a client adds to it.
func TestSizeOfThePrograms(t *testing.T) {
	size := func(program, cgo string) int64 {
		t.Helper()
		path := filepath.Join(t.TempDir(), program)
		build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./testdata/size/"+program)
		build.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	graph, pure, official := size("graph", "0"), size("pure", "0"), size("official", "1")
	t.Logf("bytes: without Bitwarden %d; with the client in pure Go %d (%+d); with the official SDK %d (%+d); the SDK without the rest %d",
		graph, pure, pure-graph, official, official-graph, size("bare", "1"))
	if 3*(pure-graph) >= official-graph {
		t.Errorf("the client in pure Go adds %d bytes, the official SDK %d: not a third", pure-graph, official-graph)
	}
}

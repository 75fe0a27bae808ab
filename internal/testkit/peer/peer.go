// Package peer finds the real counterparts a test wants to run against: a Python with
// MSAL and python-o365, a server of some database. Where one is missing the test must
// not just pass by: it says so loudly, or fails where the peer is required.
//
// GRAPHTOKEN_REQUIRE lists the peers that must be there, separated by commas; "all"
// means every one. CI sets it.
package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// TB is what this package needs of a *testing.T or *testing.B.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Missing ends a test whose peer isn't there: skipped with a message that can be
// searched for, or failed if GRAPHTOKEN_REQUIRE names the peer. How says what to do
// about it.
func Missing(t TB, name, how string) {
	t.Helper()
	const format = "MISSING REAL PEER: %s\n\tnothing was tested against it; %s"
	if Required(name) {
		t.Fatalf(format+"\n\t(GRAPHTOKEN_REQUIRE=%s wants it)", name, how, os.Getenv("GRAPHTOKEN_REQUIRE"))
		return
	}
	t.Skipf(format, name, how)
}

// Required says whether GRAPHTOKEN_REQUIRE names the peer.
func Required(name string) bool {
	for _, r := range strings.Split(os.Getenv("GRAPHTOKEN_REQUIRE"), ",") {
		if r = strings.TrimSpace(r); strings.EqualFold(r, name) || strings.EqualFold(r, "all") {
			return true
		}
	}
	return false
}

// Python is the interpreter that GRAPHTOKEN_PYTHON names, one that can import msal, O365
// and cryptography. A relative name starts at the directory of go.work, since tests run
// in their packages' own. Without it the test is skipped or fails, see [Missing].
func Python(t TB) string {
	t.Helper()
	const how = "make one with `internal/testkit/python-peers.sh .cache/venv` and set GRAPHTOKEN_PYTHON=.cache/venv/bin/python"
	name := os.Getenv("GRAPHTOKEN_PYTHON")
	if name == "" {
		Missing(t, "python", "GRAPHTOKEN_PYTHON is not set: "+how)
		return ""
	}
	if !filepath.IsAbs(name) {
		root, err := workspace()
		if err != nil {
			t.Fatalf("GRAPHTOKEN_PYTHON=%s is relative: %v", name, err)
			return ""
		}
		name = filepath.Join(root, name)
	}
	if out, err := exec.Command(name, "-c", "import msal, O365, cryptography").CombinedOutput(); err != nil {
		Missing(t, "python", "GRAPHTOKEN_PYTHON="+name+" can't import its packages ("+lastLine(out, err)+"): "+how)
		return ""
	}
	return name
}

// workspace is the nearest directory upwards that has a go.work.
func workspace() (string, error) {
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("no go.work above %s", start)
		}
	}
}

func lastLine(out []byte, err error) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if last := lines[len(lines)-1]; last != "" {
		return last
	}
	return err.Error()
}

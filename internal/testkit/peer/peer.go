// Package peer finds the other programs that a test needs: MSAL of another language,
// python-o365, a database server. If one is missing, the test doesn't just pass: it is
// skipped with a clear message, or fails if the program is required.
//
// GRAPHTOKEN_REQUIRE lists the programs that are required, separated by commas; "all"
// means every one. CI sets it. Command gotest of package testkit lists the tests that are
// skipped: go test shows skipped tests only with -v.
package peer

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Missing ends a test whose peer isn't there: skipped with a message that can be
// searched for, or failed if GRAPHTOKEN_REQUIRE names the peer. How says what to do
// about it.
func Missing(t testing.TB, name, how string) {
	t.Helper()
	missing(t, name, how, Required(name))
}

// Wanted is Missing for a peer that no script can install: "all" doesn't mean it,
// its name does.
func Wanted(t testing.TB, name, how string) {
	t.Helper()
	missing(t, name, how, named(name))
}

func missing(t testing.TB, name, how string, required bool) {
	t.Helper()
	const format = "MISSING REAL PEER: %s\n\tnothing was tested against it; %s"
	if required {
		t.Fatalf(format+"\n\t(GRAPHTOKEN_REQUIRE=%s wants it)", name, how, os.Getenv("GRAPHTOKEN_REQUIRE"))
		return
	}
	t.Skipf(format, name, how)
}

// Required says whether GRAPHTOKEN_REQUIRE names the peer, or "all".
func Required(name string) bool { return named(name) || named("all") }

func named(name string) bool {
	for _, r := range strings.Split(os.Getenv("GRAPHTOKEN_REQUIRE"), ",") {
		if strings.EqualFold(strings.TrimSpace(r), name) {
			return true
		}
	}
	return false
}

// Python is the interpreter that GRAPHTOKEN_PYTHON names, one that can import msal, O365
// and cryptography. A relative name starts at the directory of go.work, since tests run
// in their packages' own. Without it the test is skipped or fails, see [Missing].
func Python(t testing.TB) string {
	t.Helper()
	const how = "make one with `internal/testkit/python-peers.sh .cache/venv` and set GRAPHTOKEN_PYTHON=.cache/venv/bin/python"
	name := os.Getenv("GRAPHTOKEN_PYTHON")
	if name == "" {
		Missing(t, "python", "GRAPHTOKEN_PYTHON is not set: "+how)
		return ""
	}
	name, err := absolute(name)
	if err != nil {
		t.Fatalf("GRAPHTOKEN_PYTHON: %v", err)
		return ""
	}
	if out, err := exec.Command(name, "-c", "import msal, O365, cryptography").CombinedOutput(); err != nil {
		Missing(t, "python", "GRAPHTOKEN_PYTHON="+name+" can't import its packages ("+lastLine(out, err)+"): "+how)
		return ""
	}
	return name
}

// PythonBefore21 is Python's interpreter, and the PYTHONPATH with which it finds python-o365
// 2.0 instead of 2.1. Without them the test is skipped or fails, see [Missing].
func PythonBefore21(t testing.TB) (python, path string) {
	t.Helper()
	python = Python(t)
	path = filepath.Join(filepath.Dir(filepath.Dir(python)), "before-2.1")
	cmd := exec.Command(python, "-c", "from O365.utils.token import Token")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		Missing(t, "python", "python-o365 2.0 isn't in "+path+" ("+lastLine(out, err)+"): run `internal/testkit/python-peers.sh .cache/venv`")
	}
	return python, path
}

// Node is the directory of packages that GRAPHTOKEN_NODE names, a NODE_PATH with MSAL Node in it. The program is
// node, from the PATH. Without them the test is skipped or fails, see [Missing].
func Node(t testing.TB) string {
	t.Helper()
	dir := installed(t, "node", "GRAPHTOKEN_NODE", "internal/testkit/node-peers.sh .cache/node-peers")
	if dir == "" {
		return ""
	}
	path := filepath.Join(dir, "node_modules")
	cmd := exec.Command("node", "-e", `require("@azure/msal-node")`)
	cmd.Env = append(os.Environ(), "NODE_PATH="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		Missing(t, "node", "node can't load @azure/msal-node from "+path+" ("+lastLine(out, err)+")")
		return ""
	}
	return path
}

// Java is the class path of the jars that GRAPHTOKEN_JAVA names the directory of, MSAL for Java among them. The
// programs are java and javac, from the PATH. Without them the test is skipped or fails, see [Missing].
func Java(t testing.TB) string {
	t.Helper()
	dir := installed(t, "java", "GRAPHTOKEN_JAVA", "internal/testkit/java-peers.sh .cache/java-peers")
	if dir == "" {
		return ""
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "msal4j-*.jar")); len(found) == 0 { // the pattern is right
		Missing(t, "java", "there is no MSAL for Java in "+dir)
		return ""
	}
	if out, err := exec.Command("javac", "-version").CombinedOutput(); err != nil {
		Missing(t, "java", "javac doesn't run ("+lastLine(out, err)+")")
		return ""
	}
	return filepath.Join(dir, "*")
}

// installed is the directory that the variable names and the script fills.
func installed(t testing.TB, name, variable, script string) string {
	t.Helper()
	dir := os.Getenv(variable)
	if dir == "" {
		_, dir, _ = strings.Cut(script, " ")
		Missing(t, name, variable+" is not set: run `"+script+"` and set "+variable+"="+dir)
		return ""
	}
	dir, err := absolute(dir)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
		return ""
	}
	return dir
}

// absolute reads a relative path from the nearest directory upwards that has a go.work.
func absolute(path string) (string, error) {
	if filepath.IsAbs(path) {
		return path, nil
	}
	start, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return filepath.Join(dir, path), nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s is relative, and there is no go.work above %s", path, start)
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

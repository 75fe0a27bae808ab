// Command gotest is go test, and tells of skipped tests. Without -v, go test doesn't:
//
//	GRAPHTOKEN_MISSING=skipped.txt gotest -race ./...
//
// The file that GRAPHTOKEN_MISSING names gets a line for each skipped test, with its reason.
// The output and the exit code are those of go test.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Getenv("GRAPHTOKEN_MISSING")); err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			os.Exit(failed.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
}

// run runs go test with args, and adds the skipped tests to the file list, if it has a name.
func run(args []string, out io.Writer, list string) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	skipped, err := show(events, out)
	return errors.Join(cmd.Wait(), err, note(list, skipped))
}

// note adds lines to a file in one write, because several processes share the file.
func note(list string, lines []string) error {
	if list == "" || len(lines) == 0 {
		return nil
	}
	f, err := os.OpenFile(list, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, strings.Join(lines, "\n")+"\n")
	return errors.Join(err, f.Close())
}

// event is a line of go test -json: go doc cmd/test2json.
type event struct{ Action, Package, Test, Output string }

// test is a test of a package, or the package itself if name is empty.
type test struct{ of, name string }

// ofSuite is the reason of a skip of package conformance's suites. Such a skip says what a
// backend doesn't claim, and leaves nothing untested.
var ofSuite = regexp.MustCompile(`^(?:conformance|cryptography|linearizability)\.go:\d+: `)

// show prints what go test prints without -v, and returns the skipped tests.
func show(events io.Reader, out io.Writer) (skipped []string, err error) {
	said := make(map[test][]string) // by tests that haven't ended
	lines := bufio.NewScanner(events)
	for lines.Buffer(nil, 64<<20); lines.Scan(); {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text()) // of go itself
			continue
		}
		t := test{e.Package, e.Test}
		switch e.Action {
		case "build-output":
			io.WriteString(out, e.Output)
		case "output":
			said[t] = append(said[t], e.Output)
		case "fail":
			if e.Test == "" { // a panic or a timeout ended these
				for unended, texts := range said {
					if unended.of == e.Package && unended.name != "" {
						io.WriteString(out, strings.Join(texts, ""))
						delete(said, unended)
					}
				}
			}
			io.WriteString(out, strings.Join(said[t], ""))
			delete(said, t)
		case "pass", "skip":
			if e.Test == "" {
				io.WriteString(out, result(said[t]))
			} else if reason := reasonOf(said[t]); e.Action == "skip" && !ofSuite.MatchString(reason) {
				skipped = append(skipped, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason))
			}
			delete(said, t)
		}
	}
	return skipped, lines.Err()
}

// result is the line of a package in which no test failed.
func result(said []string) string {
	if len(said) == 0 {
		return ""
	}
	return said[len(said)-1]
}

// reasonOf is why a test was skipped, in one line.
func reasonOf(said []string) string {
	var reason []string
	for _, line := range said {
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(strings.TrimSpace(line), "--- ") {
			reason = append(reason, strings.Fields(line)...)
		}
	}
	if len(reason) < 2 { // the file and the line alone
		return "no reason is given"
	}
	return strings.Join(reason, " ")
}

// Package workers makes processes of a test's own binary: [Start] runs the binary again
// with a task in a variable, and [Work] in TestMain does the task.
package workers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
)

// Work makes this process a worker, if variable holds a task, and then ends it.
// Otherwise it returns at once.
func Work(variable string, work func(task string) error) {
	task, ok := os.LookupEnv(variable)
	if !ok {
		return
	}
	if err := work(task); err != nil {
		fmt.Fprintln(os.Stderr, "worker:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Open reaches the store that a task names: open gets what the test said of it, which
// went through JSON.
func Open[W any](said json.RawMessage, open func(where W) (core.TokenBackend, error)) (core.TokenBackend, error) {
	var where W
	if err := json.Unmarshal(said, &where); err != nil {
		return nil, err
	}
	return open(where)
}

// Worker is a process of the test's own binary. It is killed with the test.
type Worker struct {
	*testkit.Process
	In  io.WriteCloser // its standard input
	Out *bufio.Scanner // its standard output
}

// Start starts a worker. Its standard error is printed.
func Start(t testkit.TB, variable, task string) *Worker {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatalf("workers: %v", err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), variable+"="+task)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatalf("workers: %v", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatalf("workers: %v", err)
	}
	w := &Worker{testkit.Start(t, cmd, os.Kill), in, bufio.NewScanner(out)}
	w.Out.Buffer(nil, 1<<20)
	return w
}

// Tell writes a line to the worker's standard input.
func (w *Worker) Tell(t testkit.TB, line string) {
	t.Helper()
	if _, err := fmt.Fprintln(w.In, line); err != nil {
		t.Fatalf("workers: a worker can't be told %q: %v", line, err)
	}
}

// Line reads a line of the worker's standard output. The test fails if none comes any
// more.
func (w *Worker) Line(t testkit.TB) string {
	t.Helper()
	if !w.Out.Scan() {
		t.Fatalf("workers: a worker is gone: %v", w.Out.Err())
	}
	return w.Out.Text()
}

//go:build unix

package main_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestNothingIsSaidWhenTheReaderOfTheOutputHasEnded(t *testing.T) {
	w := newWorld(t)
	for _, line := range []string{"--help", "login --help", "help", "help login", "help stores", "help flags", "help exit-codes", "--version", "man", "completion bash"} {
		t.Run(line, func(t *testing.T) {
			t.Parallel()
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			read.Close()
			defer write.Close()
			cmd := w.command(strings.Fields(line)...)
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = write, &said
			var exit *exec.ExitError
			if err := cmd.Run(); !errors.As(err, &exit) {
				t.Fatalf("it ended with %v", err)
			}
			status := exit.Sys().(syscall.WaitStatus)
			if code, signal := exit.ExitCode(), status.Signal(); code != 141 && signal != syscall.SIGPIPE || said.Len() > 0 {
				t.Errorf("exit code %d, signal %v; it said %q", code, signal, said.String())
			}
		})
	}
}

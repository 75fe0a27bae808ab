//go:build linux || darwin

package main_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// terminal is a shell with job control, in a terminal of its own.
type terminal struct {
	t *testing.T
	*os.File

	mu    sync.Mutex
	shown strings.Builder
	read  int // of shown, by await
}

func (w *world) terminal() *terminal {
	w.t.Helper()
	shell := exec.CommandContext(w.ctx, "sh", "-i")
	shell.Env, shell.Dir = append(w.env, "PS1=$ ", "GRAPHTOKEN="+binary), w.dir
	file, err := pty.Start(shell)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &terminal{t: w.t, File: file}
	go func() {
		for buf := make([]byte, 4096); ; {
			n, err := file.Read(buf)
			s.mu.Lock()
			s.shown.Write(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	w.t.Cleanup(func() {
		_ = file.Close() // hangs up on all that runs there
		_ = shell.Wait()
	})
	return s
}

// enter types text, as the user does.
func (s *terminal) enter(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s, text); err != nil {
		s.t.Fatal(err)
	}
}

// await waits until the terminal shows text, after what was awaited before.
func (s *terminal) await(text string) {
	s.t.Helper()
	err := testkit.Poll(s.t.Context(), func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		rest := s.shown.String()[s.read:]
		at := strings.Index(rest, text)
		if at < 0 {
			return fmt.Errorf("the terminal doesn't show %q, but\n%s", text, rest)
		}
		s.read += at + len(text)
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

const ctrlC = "\x03"

// counting is a program that counts each Ctrl-C, and ends with the third. The texts that
// it prints are not those that the shell echoes. It waits at a pipe that nobody writes to,
// and starts no program of its own.
const counting = `sh -c 'n=0; trap '\''n=$((n+1)); echo "caught:$n"; test $n -lt 3 || exit 7'\'' INT; exec 3<>"$0"; echo "read""y"; while :; do read x <&3; done' silence`

func TestATerminalsSignalsAreItsProgramsOwn(t *testing.T) {
	for name, input := range map[string]string{"with the terminal as input": "", "with a file as input": " </dev/null"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.login(ana)
			if err := syscall.Mkfifo(filepath.Join(w.dir, "silence"), 0o600); err != nil {
				t.Fatal(err)
			}
			s := w.terminal()
			s.enter(`"$GRAPHTOKEN" exec -- ` + counting + input + "\n")
			s.await("ready")
			s.enter(ctrlC)
			s.await("caught:1")
			s.enter(ctrlC)
			s.await("caught:2")
			s.enter(ctrlC)
			s.await("caught:3")
			s.enter("echo \"code\":$?\n")
			s.await("code:7")
			s.mu.Lock()
			defer s.mu.Unlock()
			if shown := s.shown.String(); strings.Contains(shown, "interrupted") {
				t.Errorf("exec speaks between its program and the user:\n%s", shown)
			}
		})
	}
}

// A debugger, or the program itself, stops the program alone.
func TestAShellSeesThatAProgramStopsByItself(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("on other systems exec doesn't see it")
	}
	w := newWorld(t)
	w.login(ana)
	s := w.terminal()
	s.enter(`"$GRAPHTOKEN" exec -- sh -c 'kill -STOP $$; echo "continue""d"; exit 5'` + "\n")
	s.await("topped")
	s.enter("fg\n")
	s.await("continued")
	s.enter("echo \"code\":$?\n")
	s.await("code:5")
}

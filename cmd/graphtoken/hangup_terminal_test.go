//go:build linux || darwin

package main_test

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// seated is a command whose input and output are a terminal of its own.
type seated struct {
	*exec.Cmd
	terminal *os.File

	mu    sync.Mutex
	shown strings.Builder
	over  chan struct{} // closed when nothing more is shown
}

func (w *world) seat(args ...string) *seated {
	w.t.Helper()
	s := &seated{Cmd: w.command(args...), over: make(chan struct{})}
	terminal, err := pty.StartWithSize(s.Cmd, &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	// A file that isn't blocking can be closed while it is read. Programs that other tests
	// start mustn't keep it open.
	descriptor, err := unix.FcntlInt(terminal.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := syscall.SetNonblock(descriptor, true); err != nil {
		w.t.Fatal(err)
	}
	_ = terminal.Close()
	terminal = os.NewFile(uintptr(descriptor), "terminal")
	s.terminal = terminal
	go func() {
		defer close(s.over)
		for buffer := make([]byte, 4096); ; {
			n, err := terminal.Read(buffer)
			s.mu.Lock()
			s.shown.Write(buffer[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	w.t.Cleanup(func() { _ = terminal.Close() })
	return s
}

func (s *seated) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// hangUp closes the terminal, and returns when the system has sent SIGHUP: when nobody
// reads there any more.
func (s *seated) hangUp() error {
	err := s.terminal.Close()
	<-s.over
	return err
}

// end waits for the command, and returns its exit code.
func (s *seated) end() int {
	_ = s.Wait() // its exit code says it
	return s.ProcessState.ExitCode()
}

func TestAnAddressOf6000CharactersIsPastedIntoLoginAtATerminal(t *testing.T) {
	w := newWorld(t)
	s := w.seat("login", "--console", "--client-id", entra.PublicClient, "--scope", "User.Read")
	var address string
	testkit.Until(t, "a login that asks for the address", func() bool {
		text := s.text()
		for line := range strings.Lines(text) {
			if strings.HasPrefix(line, "https://") {
				address = strings.TrimSpace(line)
			}
		}
		return strings.Contains(text, "Paste that address here")
	})
	redirect, err := w.idp.SignInAs(ana, address)
	if err != nil {
		t.Fatal(err)
	}
	pasted, err := url.Parse(redirect)
	if err != nil {
		t.Fatal(err)
	}
	q := pasted.Query()
	code := q.Get("code")
	q.Set("session_state", strings.Repeat("x", 6000-len(redirect)-len("&session_state=")))
	pasted.RawQuery = q.Encode()
	if n := len(pasted.String()); n != 6000 {
		t.Fatalf("the address has %d characters", n)
	}
	if _, err := fmt.Fprintf(s.terminal, "%s\n", pasted); err != nil {
		t.Fatal(err)
	}
	if got := s.end(); got != 0 {
		t.Errorf("exit code %d\n%s", got, s.text())
	}
	<-s.over
	if text := s.text(); !strings.Contains(text, "Signed in as "+ana) || strings.Contains(text, code) {
		t.Errorf("the terminal shows\n%s", text)
	}
	w.ok("token")
}

// The provider holds the answer back until the signal has come.
func TestARefreshAtATerminalThatIsHungUpOrEndedLosesNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(s *seated) error
		told bool // that it was interrupted; nobody is left who could see that of a closed terminal
		code int
	}{
		{"the terminal is closed", func(s *seated) error { return s.hangUp() }, false, 130},
		{"Ctrl-C is typed", func(s *seated) error { _, err := s.terminal.WriteString(ctrlC); return err }, true, 130},
		{"SIGHUP is sent", func(s *seated) error { return s.Process.Signal(syscall.SIGHUP) }, true, 130},
		{"SIGTERM is sent", func(s *seated) error { return s.Process.Signal(syscall.SIGTERM) }, true, 130},
		{"SIGPIPE is sent", func(s *seated) error { return s.Process.Signal(syscall.SIGPIPE) }, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			signedInAndExpired(w)
			gate := w.idp.HoldReply(entra.Refresh)
			defer gate.Open()
			s := w.seat("refresh")
			if err := gate.Await(w.ctx, 1); err != nil {
				t.Fatal(err)
			}
			if err := c.end(s); err != nil {
				t.Fatal(err)
			}
			if c.told {
				testkit.Until(t, "a command that says that it was interrupted", func() bool { return strings.Contains(s.text(), "interrupted") })
			}
			gate.Open()
			if got := s.end(); got != c.code {
				t.Errorf("exit code %d, want %d\n%s", got, c.code, s.text())
			}
			w.mustGoOn(tokencache.Query{Username: ana})
		})
	}
}

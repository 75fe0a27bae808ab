//go:build linux || darwin

package terminal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/graphtoken/graphtoken/account/internal/terminal"
	"github.com/graphtoken/graphtoken/internal/testkit/workers"
	"golang.org/x/sys/unix"
)

const patience = 30 * time.Second

// screen is a pseudo-terminal and the person before it.
type screen struct {
	keyboard, tty *os.File

	mu      sync.Mutex
	shown   strings.Builder
	changed chan struct{}
}

func newScreen(t *testing.T) *screen {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{keyboard: keyboard, tty: tty, changed: make(chan struct{}, 1)}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		buf := make([]byte, 4096)
		for {
			n, err := keyboard.Read(buf)
			s.mu.Lock()
			s.shown.Write(buf[:n])
			s.mu.Unlock()
			select {
			case s.changed <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = tty.Close() // some tests have closed it
		_ = keyboard.Close()
		<-watched
	})
	return s
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// await returns once text is on the screen.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(patience)
	for !strings.Contains(s.text(), text) {
		select {
		case <-s.changed:
		case <-deadline:
			t.Fatalf("the screen doesn't show %q, but %q", text, s.text())
		}
	}
}

func (s *screen) press(t *testing.T, text string) {
	t.Helper()
	if _, err := s.keyboard.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func (s *screen) ask(hidden bool) error {
	_, err := fmt.Fprintf(s.tty, "Hidden: %v?\n", hidden)
	return err
}

// read is ReadLine with a person who types text when asked.
func (s *screen) read(t *testing.T, text string) (string, error) {
	t.Helper()
	return terminal.ReadLine(t.Context(), s.tty, func(hidden bool) error {
		if err := s.ask(hidden); err != nil {
			return err
		}
		s.await(t, "Hidden: true?")
		go func() { // the terminal takes so much at a time
			if _, err := s.keyboard.WriteString(text); err != nil {
				t.Error(err)
			}
		}()
		return nil
	})
}

func TestATerminalTakesALineOfAnyLength(t *testing.T) {
	address := "https://localhost/?code=" + strings.Repeat("0123456789", 598) + "&state=s"
	s := newScreen(t)
	got, err := s.read(t, address+"\r")
	if err != nil || got != address {
		t.Errorf("%d of %d characters came: %v", len(got), len(address), err)
	}
	s.press(t, "shown again\r")
	s.await(t, "shown again")
	if strings.Contains(s.text(), "code=") {
		t.Error("the address, with the code in it, is on the screen")
	}
}

func TestATerminalsKeysAreObeyed(t *testing.T) {
	for what, row := range map[string]struct {
		typed, want string
		err         error
	}{
		"backspace takes the last character back": {typed: "abx\x7fcy\b\n", want: "abc"},
		"more of them than characters are there":  {typed: "a\x7f\x7f\x7fbc\n", want: "bc"},
		"Ctrl-U begins the line anew":             {typed: "abc\x15def\n", want: "def"},
		"Ctrl-D ends the line":                    {typed: "abc\x04", want: "abc"},
		"Ctrl-D at the beginning ends the input":  {typed: "\x04", err: io.ErrUnexpectedEOF},
	} {
		t.Run(what, func(t *testing.T) {
			if got, err := newScreen(t).read(t, row.typed); got != row.want || !errors.Is(err, row.err) {
				t.Errorf("the line is %q, want %q; the error is %v", got, row.want, err)
			}
		})
	}
}

func TestATerminalIsRestoredOnEveryWayOut(t *testing.T) {
	failed := errors.New("the question can't be shown")
	for what, leave := range map[string]func(*testing.T, *screen) error{
		"a line": func(t *testing.T, s *screen) error {
			_, err := s.read(t, "address\n")
			return err
		},
		"the end of the input": func(t *testing.T, s *screen) error {
			_, err := s.read(t, "\x04")
			return err
		},
		"the end of the context": func(t *testing.T, s *screen) error {
			ctx, cancel := context.WithCancel(t.Context())
			_, err := terminal.ReadLine(ctx, s.tty, func(bool) error { cancel(); return nil })
			return err
		},
		"a question that can't be asked": func(t *testing.T, s *screen) error {
			_, err := terminal.ReadLine(t.Context(), s.tty, func(bool) error { return failed })
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := newScreen(t)
			before := modeOf(t, s.tty)
			err := leave(t, s)
			if after := modeOf(t, s.tty); !reflect.DeepEqual(after, before) {
				t.Errorf("the terminal's mode is %+v, it was %+v; the error is %v", after, before, err)
			}
		})
	}
}

func modeOf(t *testing.T, tty *os.File) *unix.Termios {
	t.Helper()
	mode, err := terminal.ModeOf(tty)
	if err != nil {
		t.Fatal(err)
	}
	return mode
}

// taskVariable says what a worker does about signals.
const taskVariable = "GRAPHTOKEN_TERMINAL_WORKER"

func TestMain(m *testing.M) {
	workers.Work(taskVariable, func(task string) error {
		if task == handles {
			return readUntilSignal()
		}
		return readAtTerminal(context.Background())
	})
	os.Exit(m.Run())
}

const handles = "handles signals"

func readAtTerminal(ctx context.Context) error {
	_, err := terminal.ReadLine(ctx, os.Stdin, func(bool) error {
		_, err := fmt.Println("asked")
		return err
	})
	return err
}

// readUntilSignal fails unless exactly one signal ends the reading.
func readUntilSignal() error {
	signals := make(chan os.Signal, 3)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGWINCH)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-signals
		cancel()
	}()
	if err := readAtTerminal(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	// Signals sent before this one have arrived before it.
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil {
		return err
	}
	if s := <-signals; s != syscall.SIGWINCH {
		return fmt.Errorf("%v came twice", s)
	}
	return nil
}

func TestASignalFindsTheTerminalRestored(t *testing.T) {
	ctrlC := func(t *testing.T, s *screen, _ *os.Process) { s.press(t, "\x03") }
	terminate := func(t *testing.T, _ *screen, p *os.Process) {
		t.Helper()
		if err := p.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	for what, row := range map[string]struct {
		task string
		send func(*testing.T, *screen, *os.Process)
		want string
	}{
		"Ctrl-C ends a program that says nothing about it":  {"", ctrlC, "signal: interrupt"},
		"SIGTERM ends a program that says nothing about it": {"", terminate, "signal: terminated"},
		"a program that handles Ctrl-C has it once":         {handles, ctrlC, ""},
		"a program that handles SIGTERM has it once":        {handles, terminate, ""},
	} {
		t.Run(what, func(t *testing.T) {
			s := newScreen(t)
			before := modeOf(t, s.tty)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cmd := exec.CommandContext(ctx, self)
			cmd.Env = append(os.Environ(), taskVariable+"="+row.task)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = s.tty, s.tty, s.tty
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			s.await(t, "asked")
			if during := modeOf(t, s.tty); reflect.DeepEqual(during, before) {
				t.Error("the terminal's mode was not changed")
			}
			row.send(t, s, cmd.Process)
			err = cmd.Wait()
			if err == nil && row.want != "" || err != nil && err.Error() != row.want {
				t.Errorf("the program ended by %v, want %q; the screen shows %q", err, row.want, s.text())
			}
			if after := modeOf(t, s.tty); !reflect.DeepEqual(after, before) {
				t.Errorf("the terminal's mode is %+v, it was %+v", after, before)
			}
		})
	}
}

// Package terminal reads a line that a person pastes, whatever its length:
//
//	line, err := terminal.ReadLine(ctx, os.Stdin, func(hidden bool) error {
//		_, err := fmt.Println("Paste the address here:")
//		return err
//	})
//
// A terminal edits lines by itself. It then accepts no more than 4,095 characters in a
// line on Linux (MAX_CANON, termios(3)) and 1,024 on macOS; a longer line is cut off or
// never ends. The addresses of a sign-in are sometimes longer. So the terminal is set to
// pass on each character as it comes until the line ends.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// ReadLine calls ask, and returns the next line of in that isn't blank, without its end.
// If in is a terminal, ask is told that typed characters aren't shown. When ReadLine
// returns, or a signal ends the program, the terminal has its former state again.
//
// ReadLine returns io.ErrUnexpectedEOF if in ends before such a line. It returns ErrBlank
// if nothing follows a blank line, because a program that has written one waits for an
// answer. At a terminal, a person may take any time.
//
// Nothing after the line is read. A read can't be cancelled: after ctx has ended, one
// byte of in may still be lost.
func ReadLine(ctx context.Context, in io.Reader, ask func(hidden bool) error) (line string, err error) {
	t := open(in)
	if t == nil { // in is no terminal
		if err := ask(false); err != nil {
			return "", err
		}
		return await(ctx, lineReader(in), nil)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, endings()...)
	defer func() {
		signal.Stop(signals)
		if failed := t.restore(); failed != nil {
			err = errors.Join(err, fmt.Errorf("restore the terminal: %w", failed))
		}
		if sig := (*endedBy)(nil); errors.As(err, &sig) {
			err = sig.passOn(ctx)
		}
	}()
	if err := t.handOver(); err != nil {
		return "", fmt.Errorf("prepare the terminal: %w", err)
	}
	if err := ask(true); err != nil {
		return "", err
	}
	return await(ctx, in, signals)
}

// ErrBlank: the line is blank.
var ErrBlank = errors.New("the line is blank")

// patience is the time for the rest of a text that was pasted at once, with blank lines
// first.
const patience = time.Second

// await returns the line, ctx's error, or the signal.
func await(ctx context.Context, in io.Reader, signals <-chan os.Signal) (string, error) {
	type result struct {
		line string
		err  error
	}
	read, blank := make(chan result, 1), make(chan struct{}, 1)
	go func() {
		line, err := readLine(ctx, in, signals != nil, blank)
		read <- result{line, err}
	}()
	var tooLate <-chan time.Time
	for {
		select {
		case r := <-read:
			return r.line, r.err
		case sig := <-signals:
			return "", &endedBy{sig}
		case <-ctx.Done():
			return "", ctx.Err()
		case <-blank:
			if signals == nil && tooLate == nil {
				tooLate = time.After(patience)
			}
		case <-tooLate:
			return "", ErrBlank
		}
	}
}

// The control characters of a terminal that edits lines by itself, as it is usually set
// up.
const (
	endOfInput = 'D' - '@' // Ctrl-D
	eraseLine  = 'U' - '@' // Ctrl-U
	backspace  = '\b'
	erase      = 0x7f // the key named backspace
)

// readLine reads byte by byte, because others may read what follows the line. It reports
// blank lines, which it leaves out.
func readLine(ctx context.Context, in io.Reader, isTerminal bool, blank chan<- struct{}) (string, error) {
	var line []byte
	var one [1]byte
	for {
		_, err := io.ReadFull(in, one[:])
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		inputEnds := err != nil || isTerminal && one[0] == endOfInput
		switch {
		case inputEnds, one[0] == '\n', one[0] == '\r':
			if strings.TrimSpace(string(line)) != "" {
				return string(line), nil
			}
			if inputEnds {
				return "", io.ErrUnexpectedEOF
			}
			line = line[:0]
			select {
			case blank <- struct{}{}:
			default: // it was reported
			}
		case isTerminal && one[0] == eraseLine:
			line = line[:0]
		case isTerminal && (one[0] == erase || one[0] == backspace):
			line = line[:max(len(line)-1, 0)]
		default:
			line = append(line, one[0])
		}
	}
}

// endings are the signals that end a program that doesn't handle them. A signal that is
// ignored, such as SIGHUP under nohup, stays ignored.
func endings() (all []os.Signal) {
	for _, s := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT} {
		if !signal.Ignored(s) {
			all = append(all, s)
		}
	}
	return all
}

// endedBy is the error if a signal came before the line.
type endedBy struct{ signal os.Signal }

func (e *endedBy) Error() string { return "interrupted by the signal: " + e.signal.String() }

// grace is the time for a signal to take effect, which needs far less.
const grace = 200 * time.Millisecond

// passOn gives the signal its usual effect, now that the terminal has its former state. A
// program that handles the signal has received it too, and ends ctx. Any other program
// must still be ended by it, so the signal is sent once more.
func (e *endedBy) passOn(ctx context.Context) error {
	if ended(ctx) {
		return ctx.Err()
	}
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Signal(e.signal)
	}
	if err == nil && ended(ctx) {
		return ctx.Err()
	}
	return errors.Join(e, err)
}

// ended waits for the end of ctx, or of the program.
func ended(ctx context.Context) bool {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return true
	case <-timer.C:
		return false
	}
}

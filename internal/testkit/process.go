package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Process is a program that a test runs.
type Process struct {
	cmd    *exec.Cmd
	last   os.Signal
	log    string        // the file of its output
	exited chan struct{} // closed when the process is gone
	state  *os.ProcessState
}

// Start starts cmd. When the test ends, the program gets the signal last. It also gets
// this signal if the test's process is killed or ends by a timeout (not on Windows).
// [Process.Log] returns the program's output, unless cmd has a pipe for it.
func Start(t TB, cmd *exec.Cmd, last os.Signal) *Process {
	t.Helper()
	log, err := os.CreateTemp("", "testkit-*.log")
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	_ = log.Close() // nothing was written
	p := &Process{cmd: cmd, last: last, log: log.Name()}
	t.Cleanup(func() {
		if p.exited != nil {
			p.End(t, last)
		}
		_ = os.Remove(p.log)
	})
	p.start(t)
	return p
}

// Restart starts a program again that has ended. It ends with the test that started it
// first.
func (p *Process) Restart(t TB) {
	t.Helper()
	p.cmd = &exec.Cmd{Path: p.cmd.Path, Args: p.cmd.Args, Env: p.cmd.Env, Dir: p.cmd.Dir, SysProcAttr: p.cmd.SysProcAttr}
	p.start(t)
}

func (p *Process) start(t TB) {
	t.Helper()
	log, err := os.OpenFile(p.log, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatalf("testkit: %v", err)
	}
	defer log.Close() // the program has it open
	if p.cmd.Stdout == nil {
		p.cmd.Stdout = log
	}
	if p.cmd.Stderr == nil {
		p.cmd.Stderr = log
	}
	release, err := startGuarded(p.cmd, p.last)
	if err != nil {
		t.Fatalf("testkit: %s: %v", p.cmd.Path, err)
	}
	process, exited := p.cmd.Process, make(chan struct{})
	p.exited = exited
	go func() {
		defer close(exited)
		// Not cmd.Wait, which closes pipes that are still being read.
		p.state, _ = process.Wait()
		release()
	}()
}

// Signal sends a signal. A process that is gone doesn't mind.
func (p *Process) Signal(t TB, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("testkit: %v to %s: %v", s, p.cmd.Path, err)
	}
}

// Pid is the process's id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// End sends a signal that ends the process, and returns when the process is gone.
func (p *Process) End(t TB, s os.Signal) {
	t.Helper()
	p.Signal(t, s)
	select {
	case <-p.exited:
	case <-time.After(Patience):
		_ = p.cmd.Process.Kill()
		<-p.exited
		t.Fatalf("testkit: %s didn't end after %v:\n%s", p.cmd.Path, s, p.Log())
	}
}

// Await waits until answers returns nil. The test fails if the process ends before, or
// if that takes longer than [Patience].
func (p *Process) Await(t TB, answers func() error) {
	t.Helper()
	err := Poll(t.Context(), func() error {
		if p.Ended() {
			return nil // there is nothing to wait for
		}
		return answers()
	})
	switch {
	case p.Ended():
		t.Fatalf("testkit: %s ended (%v):\n%s", p.cmd.Path, p.state, p.Log())
	case err != nil:
		t.Fatalf("testkit: %s doesn't answer: %v\n%s", p.cmd.Path, err, p.Log())
	}
}

// Ended says whether the process is gone.
func (p *Process) Ended() bool {
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// ExitCode waits for the process to end, and returns what it ended with.
func (p *Process) ExitCode() int {
	<-p.exited
	return p.state.ExitCode()
}

// Log is what the program has said so far.
func (p *Process) Log() string {
	said, err := os.ReadFile(p.log)
	if err != nil {
		return fmt.Sprintf("(its output can't be read: %v)", err)
	}
	return string(said)
}

//go:build unix

package main

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// runProgram runs the program in this process's own group, so that the terminal's Ctrl-C,
// Ctrl-\ and Ctrl-Z reach both: the program decides what they mean, and this process waits.
// Signals that were sent to this process alone are handed on.
func runProgram(program *exec.Cmd) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	defer signal.Stop(signals)
	signal.Reset(syscall.SIGPIPE) // the program must not start with it ignored
	defer signal.Ignore(syscall.SIGPIPE)
	if err := program.Start(); err != nil {
		return resultOf(program, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()
	terminal := inForeground()
	for {
		select {
		case err := <-ended:
			return resultOf(program, err)
		case s := <-signals:
			if terminal && (s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGWINCH) {
				continue // the terminal has sent it to the program, too
			}
			_ = program.Process.Signal(s)
		}
	}
}

// inForeground reports whether this process's group has the terminal.
func inForeground() bool {
	group, err := unix.IoctlGetInt(int(os.Stdin.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// statusOf is the code with which a shell tells how a program ended, and the signal.
func statusOf(state *os.ProcessState) (code int, s os.Signal) {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal()), status.Signal()
	}
	return state.ExitCode(), nil
}

// endBy ends this process by the signal that ended the program, so that a shell sees the
// same. It returns if the signal ends no process.
func endBy(s os.Signal) {
	number, ok := s.(syscall.Signal)
	if !ok {
		return
	}
	signal.Reset(number)
	_ = syscall.Kill(os.Getpid(), number)
	if number == syscall.SIGKILL || number == syscall.SIGTERM || number == syscall.SIGINT || number == syscall.SIGHUP {
		select {} // it is on its way
	}
}

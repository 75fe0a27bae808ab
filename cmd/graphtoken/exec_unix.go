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
// Ctrl-\ and Ctrl-Z reach both: the program decides what they mean, and this process waits
// and stops as the program does. Signals that were sent to this process alone are handed on.
func runProgram(program *exec.Cmd, pauseInterrupts func() (resume func())) error {
	signals := make(chan os.Signal, 16)
	notify(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	defer signal.Stop(signals)
	defer pauseInterrupts()()
	stops := watchStops && inForeground()
	if stops {
		notify(signals, syscall.SIGTSTP)
	}
	// A signal that is ignored would be ignored by the program, too; one that is received
	// by a channel isn't, and ends no write to a closed output either.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := program.Start(); err != nil {
		return resultOf(program, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- program.Wait() }()
	stopped, continued := make(chan struct{}), make(chan os.Signal, 1)
	if stops {
		signal.Notify(continued, syscall.SIGCONT)
		defer signal.Stop(continued)
		go watch(program.Process.Pid, stopped)
	}
	for {
		select {
		case err := <-ended:
			return resultOf(program, err)
		case <-stopped:
			select {
			case <-continued: // it is of an earlier stop
			default:
			}
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // until the shell continues the job
			// A thread may go on for a moment before it stops, too.
			select {
			case <-continued:
				_ = program.Process.Signal(syscall.SIGCONT)
			case err := <-ended:
				return resultOf(program, err)
			}
		case s := <-signals:
			if ofTerminal(s) && inForeground() {
				continue // the terminal has sent it to the program, too
			}
			_ = program.Process.Signal(s)
		}
	}
}

// ofTerminal reports whether a terminal sends this signal, to all processes of the group
// in the foreground.
func ofTerminal(s os.Signal) bool {
	return s == syscall.SIGINT || s == syscall.SIGQUIT || s == syscall.SIGTSTP || s == syscall.SIGWINCH
}

// inForeground reports whether this process's group has the terminal. The standard input
// may be something else.
func inForeground() bool {
	terminal, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer terminal.Close()
	group, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCGPGRP)
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

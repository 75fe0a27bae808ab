//go:build !unix

package main

import (
	"os"
	"os/exec"
	"os/signal"
)

// runProgram runs the program in this process's console, which sends Ctrl-C to both: the
// program decides what it means.
func runProgram(program *exec.Cmd, pauseInterrupts func() (resume func())) error {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	defer pauseInterrupts()()
	if err := program.Start(); err != nil {
		return resultOf(program, err)
	}
	return resultOf(program, program.Wait())
}

func statusOf(state *os.ProcessState) (code int, s os.Signal) { return state.ExitCode(), nil }

func endBy(os.Signal) {}

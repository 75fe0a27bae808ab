package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// untilInterrupted returns a context that ends with the first signal that asks the
// process to end, and calls told then. Such a signal doesn't end the process: the
// provider may have answered already, and its answer must still be saved.
//
//   - SIGINT, SIGTERM, SIGQUIT (Ctrl-\) and SIGHUP (a closed terminal) end the context,
//     however often they come: a terminal that closes sends SIGHUP twice. Only a second
//     SIGINT, from a user who doesn't want to wait, ends the process at once.
//   - SIGPIPE, which is sent when the reader of the output is gone, is an error of the
//     write and nothing more. By default it ends a process that writes to its standard
//     output or error (see os/signal).
//
// A signal that the process was started to ignore, as nohup does with SIGHUP, stays
// ignored. From pause until the resume that it returns, signals change nothing here: exec
// hands them to its program.
func untilInterrupted(parent context.Context, told func()) (ctx context.Context, pause func() (resume func())) {
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 8)
	listen := func() { notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP) }
	listen()
	go func() {
		for s := range signals {
			if s == os.Interrupt {
				signal.Reset(os.Interrupt)
			}
			if ctx.Err() == nil {
				cancel()
				told()
			}
		}
	}()
	return ctx, func() (resume func()) {
		signal.Stop(signals)
		return listen
	}
}

// notify is signal.Notify without the signals that the process was started to ignore.
func notify(c chan<- os.Signal, all ...os.Signal) {
	for _, s := range all {
		if !signal.Ignored(s) {
			signal.Notify(c, s)
		}
	}
}

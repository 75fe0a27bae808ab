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
// ignored.
func untilInterrupted(parent context.Context, told func()) context.Context {
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 8)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
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
	return ctx
}

package core

import (
	"context"
	"sync"
)

// work counts what Flush waits for: refreshes and saves in the background. The
// zero value is ready for use.
type work struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running falls to zero
}

// begin counts one more refresh or save, until end is called.
func (w *work) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running++
	if w.running == 1 {
		w.idle = make(chan struct{})
	}
}

func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running--; w.running == 0 {
		close(w.idle)
	}
}

// wait returns when nothing is running, or ctx's error.
func (w *work) wait(ctx context.Context) error {
	w.mu.Lock()
	idle, running := w.idle, w.running
	w.mu.Unlock()
	if running == 0 {
		return ctx.Err()
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

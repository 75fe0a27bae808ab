package core

import (
	"context"
	"slices"
	"sync"
)

// work counts the refreshes and the saves in the background for which Flush waits. A Flush
// doesn't wait for those that begin after it, because in a busy process it would never end.
// The zero value is ready for use.
type work struct {
	mu      sync.Mutex
	batches []*batch // the batches with a refresh or save that runs
}

// batch counts the refreshes and saves that began between two waits.
type batch struct {
	running int
	closed  bool          // a wait has begun: a refresh that begins now is in the next batch
	idle    chan struct{} // closed when running falls to zero
}

// begin counts one more refresh or save, until end is called with the result.
func (w *work) begin() *batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	last := len(w.batches) - 1
	if last < 0 || w.batches[last].closed {
		w.batches = append(w.batches, &batch{idle: make(chan struct{})})
		last++
	}
	b := w.batches[last]
	b.running++
	return b
}

func (w *work) end(b *batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b.running--; b.running == 0 {
		w.batches = slices.DeleteFunc(w.batches, func(other *batch) bool { return other == b })
		close(b.idle)
	}
}

// wait returns when every refresh and save that was running at the call has ended, or ctx's
// error.
func (w *work) wait(ctx context.Context) error {
	for _, b := range w.running() {
		select {
		case <-b.idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

func (w *work) running() []*batch {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.batches {
		b.closed = true
	}
	return slices.Clone(w.batches)
}

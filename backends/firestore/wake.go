package firestore

import (
	"context"
	"sync"

	"cloud.google.com/go/firestore"
)

// maxWatches bounds the keys that are listened to at one time. A listener is a
// stream, a connection carries a hundred, and one that is full keeps every
// other call waiting. Whoever waits for one key more looks by itself.
const maxWatches = 16

// wakes are the listeners that the waiters of one Backend share. They are there
// while somebody waits, and so nobody has to close them.
type wakes struct {
	mu      sync.Mutex
	watches map[string]*watch // by the record's path
}

// watch is two listeners, on the record and the lease of one key.
type watch struct {
	waiters map[chan struct{}]struct{}
	silent  int // listeners that have yet to say what they begin with
	stop    context.CancelFunc
}

// join returns a channel that receives when it is worth looking again: at every
// change, and once both listeners have begun, since changes before were missed.
func (w *wakes) join(at place) (woken <-chan struct{}, leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	waiter := make(chan struct{}, 1)
	watched := w.watches[at.record.Path]
	if watched == nil {
		if len(w.watches) == maxWatches {
			signal(waiter)
			return waiter, func() {}
		}
		watched = w.begin(at)
	}
	watched.waiters[waiter] = struct{}{}
	if watched.silent == 0 {
		signal(waiter)
	}
	return waiter, func() { w.leave(at, watched, waiter) }
}

func (w *wakes) begin(at place) *watch {
	// Not a waiter's context: others wait on when that one has left.
	ctx, stop := context.WithCancel(context.Background())
	watched := &watch{waiters: make(map[chan struct{}]struct{}), silent: 2, stop: stop}
	if w.watches == nil {
		w.watches = make(map[string]*watch)
	}
	w.watches[at.record.Path] = watched
	go w.listen(ctx, at.record, watched)
	go w.listen(ctx, at.lease, watched)
	return watched
}

func (w *wakes) leave(at place, watched *watch, waiter chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(watched.waiters, waiter)
	if len(watched.waiters) == 0 {
		watched.stop()
		delete(w.watches, at.record.Path)
	}
}

// listen wakes the waiters at every snapshot. The client connects again by
// itself; when it gives up, waiters look now and then.
func (w *wakes) listen(ctx context.Context, doc *firestore.DocumentRef, watched *watch) {
	snapshots := doc.Snapshots(ctx)
	defer snapshots.Stop()
	for first := 1; ; first = 0 {
		if _, err := snapshots.Next(); err != nil {
			return
		}
		w.wake(watched, first)
	}
}

// wake counts those who have begun, until then nobody can be sure of having
// missed nothing.
func (w *wakes) wake(watched *watch, begun int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	watched.silent -= begun
	if watched.silent > 0 {
		return
	}
	for waiter := range watched.waiters {
		signal(waiter)
	}
}

// signal sends unless a signal lies there already.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

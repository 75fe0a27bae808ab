package sql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"
)

// channel is where PostgreSQL is told what waiters wait for. It is one for the
// whole database, whatever the tables.
const channel = "graphtoken"

// news is what is said on the channel of a record_key. It doesn't tell the
// key: whoever may connect to a database may listen there.
func news(storedKey string) string {
	digest := sha256.Sum256([]byte(storedKey))
	return hex.EncodeToString(digest[:8])
}

const (
	// redial is how long after a connection was lost there is a new one.
	redial = time.Second
	// linger is how long one stays when nobody waits any more: those who wait
	// look away from time to time.
	linger = 10 * time.Second
)

// wakes is one connection that listens for all who wait through one Backend. It
// goes when nobody waits, and so nobody has to close it.
type wakes struct {
	listen func(ctx context.Context, channel string, heard func(payload string)) error // nil: nobody is ever woken

	mu      sync.Mutex
	waiters map[string]map[chan struct{}]struct{} // by what they wait to hear
	now     *listening                            // nil: nobody listens
}

type listening struct {
	live   bool // what is said now is heard
	hangUp context.CancelFunc
}

// join returns a channel that receives when it is worth looking again: when
// the payload is said, and as soon as it would be heard, since it may have been
// said before.
func (w *wakes) join(payload string) (woken <-chan struct{}, leave func()) {
	if w.listen == nil {
		return nil, func() {}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.waiters == nil {
		w.waiters = make(map[string]map[chan struct{}]struct{})
	}
	if w.waiters[payload] == nil {
		w.waiters[payload] = make(map[chan struct{}]struct{})
	}
	waiter := make(chan struct{}, 1)
	w.waiters[payload][waiter] = struct{}{}
	if w.now == nil {
		ctx, cancel := context.WithCancel(context.Background()) // the waiters' own end without it
		w.now = &listening{hangUp: cancel}
		go w.run(ctx, w.now)
	}
	if w.now.live {
		waiter <- struct{}{}
	}
	return waiter, func() { w.leave(payload, waiter) }
}

func (w *wakes) leave(payload string, waiter chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiters[payload], waiter)
	if len(w.waiters[payload]) == 0 {
		delete(w.waiters, payload)
	}
	if len(w.waiters) == 0 {
		time.AfterFunc(linger, w.rest)
	}
}

// rest ends the listening if nobody waits. That somebody did in between, and
// it ends early, does no harm.
func (w *wakes) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiters) == 0 && w.now != nil {
		w.now.hangUp()
		w.now = nil
	}
}

// run listens until ctx is done.
func (w *wakes) run(ctx context.Context, now *listening) {
	for {
		// Why it ended is for who wrote it to say; the waiters look by themselves.
		_ = w.listen(ctx, channel, func(payload string) { w.heard(now, payload) })
		w.lost(now)
		select {
		case <-time.After(redial):
		case <-ctx.Done():
			return
		}
	}
}

// heard wakes those who wait for the payload, or if it is empty, everybody.
func (w *wakes) heard(now *listening, payload string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now.live = true
	for name, waiters := range w.waiters {
		if payload == "" || name == payload {
			wake(waiters)
		}
	}
}

// lost wakes everybody: they must not rely on being woken.
func (w *wakes) lost(now *listening) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now.live = false
	for _, waiters := range w.waiters {
		wake(waiters)
	}
}

func wake(waiters map[chan struct{}]struct{}) {
	for waiter := range waiters {
		select {
		case waiter <- struct{}{}:
		default: // it was woken already
		}
	}
}

// live reports whether those who wait will be woken.
func (w *wakes) live() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now != nil && w.now.live
}

package backend

import (
	"context"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// Wakes wakes the waiters for records of one store when the store tells of a change. It
// listens as long as there are waiters, with one connection (or another resource) for all
// of them. Nobody has to close anything.
//
// The zero value listens to nothing. It is for a store that only this process changes,
// and this process calls [Wakes.Wake].
type Wakes struct {
	// Listen listens to the store and reports to n what it hears, until ctx is done,
	// which happens when the last waiter leaves. If it returns earlier, for example
	// because the connection was lost, it is called again a second later; meanwhile the
	// waiters look by themselves. It has to report its errors itself.
	Listen func(ctx context.Context, n *News)

	// Linger is how long Listen goes on after the last waiter has left, because waiters
	// often come again soon.
	Linger time.Duration

	mu    sync.Mutex
	names map[string]*name // for which there are waiters
	news  *News            // of the Listen under way; nil if there is none
}

// relisten is the pause after Listen returned, before it is called again.
const relisten = time.Second

// name has the waiters for one name.
type name struct {
	heard bool // Listen reports each change from now on
	loops map[*hearing]struct{}
}

// hearing is one loop of Wait that can be woken.
type hearing struct {
	wakes   *Wakes
	name    string
	changes chan change
}

// change is an event that wakes a loop.
type change struct {
	saved core.Version // the version that is stored now; empty if it isn't known
}

// News has the methods by which one call of Listen reports changes.
type News struct {
	wakes   *Wakes
	changed chan struct{}
	touched map[string]struct{} // names that were added or removed since the last call of Names
	told    map[string]bool     // the names that Listen knows, and whether it hears of their changes
	all     bool                // Listen hears of the changes of all names
	cancel  context.CancelFunc
}

// Wake tells the waiters for name to look at the store.
func (w *Wakes) Wake(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake(name, change{})
}

func (w *Wakes) wake(name string, c change) {
	if n := w.names[name]; n != nil {
		for loop := range n.loops {
			loop.wake(c)
		}
	}
}

// wake passes a change to the loop. If several changes wait there, one look is enough for
// all.
func (h *hearing) wake(c change) {
	select {
	case h.changes <- c:
		return
	default:
	}
	select {
	case <-h.changes:
	default:
	}
	signal(h.changes, change{})
}

// join registers a loop to be woken. A nil Wakes wakes nothing.
func (w *Wakes) join(named string) *hearing {
	h := &hearing{wakes: w, name: named, changes: make(chan change, 1)}
	if w == nil {
		return h
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.names[named]
	if n == nil {
		n = &name{loops: make(map[*hearing]struct{}), heard: w.Listen == nil}
		if w.names == nil {
			w.names = make(map[string]*name)
		}
		w.names[named] = n
	}
	n.loops[h] = struct{}{}
	if w.Listen == nil {
		return h
	}
	if w.news == nil {
		ctx, cancel := context.WithCancel(context.Background()) // not a waiter's context, because other waiters stay
		w.news = &News{wakes: w, changed: make(chan struct{}, 1), touched: make(map[string]struct{}), told: make(map[string]bool), cancel: cancel}
		go w.listen(ctx, w.news)
	}
	n.heard = n.heard || w.news.all
	w.news.touch(named)
	return h
}

func (h *hearing) leave() {
	w := h.wakes
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.names[h.name]
	delete(n.loops, h)
	if len(n.loops) > 0 {
		return
	}
	delete(w.names, h.name)
	if w.news == nil {
		return
	}
	w.news.touch(h.name)
	if len(w.names) == 0 {
		if w.Linger == 0 {
			w.stop()
		} else {
			time.AfterFunc(w.Linger, w.stopIdle)
		}
	}
}

// live reports whether changes of the loop's record wake it.
func (h *hearing) live() bool {
	if h.wakes == nil {
		return false
	}
	h.wakes.mu.Lock()
	defer h.wakes.mu.Unlock()
	n := h.wakes.names[h.name]
	return n != nil && n.heard
}

// stopIdle ends the listening if there is no waiter. If there was one since the timer was
// set, the listening ends earlier than Linger says, which does no harm.
func (w *Wakes) stopIdle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.names) == 0 {
		w.stop()
	}
}

func (w *Wakes) stop() {
	if w.news != nil {
		w.news.cancel()
		w.news = nil
	}
}

// listen calls Listen until the last waiter leaves.
func (w *Wakes) listen(ctx context.Context, n *News) {
	for {
		w.Listen(ctx, n)
		n.deaf()
		if Sleep(ctx, relisten) != nil {
			return
		}
	}
}

// touch tells Listen to look at a name again. The caller holds the mu.
func (n *News) touch(name string) {
	n.touched[name] = struct{}{}
	signal(n.changed, struct{}{})
}

// Changed receives a value if names were added or removed since the last call of Names.
func (n *News) Changed() <-chan struct{} { return n.changed }

// Names returns the names that were added and removed since the last call. A Listen that
// hears of all names need not call it.
func (n *News) Names() (come, gone []string) {
	w := n.wakes
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.news != n {
		return nil, nil
	}
	for name := range n.touched {
		waited := w.names[name]
		switch heard, told := n.told[name]; {
		case waited != nil && !told:
			n.told[name] = false
			come = append(come, name)
		case waited == nil && told:
			delete(n.told, name)
			gone = append(gone, name)
		case waited != nil && heard: // the name was removed and added again
			waited.hear()
		}
	}
	clear(n.touched)
	return come, gone
}

// Heard says that n is told of each change of name from now on. The waiters look once,
// because there may have been changes before. If the connection was lost and Listen has
// connected again, it calls Heard again, because messages in between are lost. Heard has
// no effect on a name that Names hasn't returned, or that has gone.
func (n *News) Heard(name string) {
	n.whileCurrent(func(w *Wakes) {
		if _, told := n.told[name]; !told {
			return
		}
		n.told[name] = true
		if waited := w.names[name]; waited != nil {
			waited.heard = true
			w.wake(name, change{})
		}
	})
}

// HeardAll is Heard for every name, now or later.
func (n *News) HeardAll() {
	n.whileCurrent(func(w *Wakes) {
		n.all = true
		for _, waited := range w.names {
			waited.hear()
		}
	})
}

// Wake tells the waiters for name to look at the store.
func (n *News) Wake(name string) { n.whileCurrent(func(w *Wakes) { w.wake(name, change{}) }) }

// Saved is Wake for a store that told which version is stored now: a waiter that has seen
// another version need not look, if the last look found the version that it has seen.
func (n *News) Saved(name string, v core.Version) {
	n.whileCurrent(func(w *Wakes) { w.wake(name, change{saved: v}) })
}

// deaf makes all waiters look by themselves.
func (n *News) deaf() {
	n.whileCurrent(func(w *Wakes) {
		n.all = false
		clear(n.told)
		for name, waited := range w.names {
			waited.heard = false
			w.wake(name, change{})
			n.touch(name)
		}
	})
}

// whileCurrent calls do, unless this Listen has been told to end.
func (n *News) whileCurrent(do func(*Wakes)) {
	n.wakes.mu.Lock()
	defer n.wakes.mu.Unlock()
	if n.wakes.news == n {
		do(n.wakes)
	}
}

// hear notes that changes are reported from now on. The caller holds the mu.
func (n *name) hear() {
	if n.heard {
		return
	}
	n.heard = true
	for loop := range n.loops {
		loop.wake(change{})
	}
}

// signal sends a value, unless one waits in the channel already.
func signal[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

package backend

import (
	"context"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// Wakes wakes those who wait for records of one store when the store tells of a
// change, and listens for that while somebody waits: one connection, or whatever it
// takes, for all of them, and nothing that anybody would have to close.
//
// The zero value listens to nothing. It is for a store that is changed by this
// process alone, which calls [Wakes.Wake].
type Wakes struct {
	// Listen listens to the store until ctx is done, when nobody waits any more, and
	// says to n what it hears. When it returns earlier, because the connection is
	// lost, say, it is called again a second later; those who wait look by themselves
	// meanwhile. Its errors are its own to report.
	Listen func(ctx context.Context, n *News)

	// Linger is how long Listen goes on when nobody waits any more: those who wait
	// stop in between.
	Linger time.Duration

	mu    sync.Mutex
	names map[string]*name // that somebody waits for
	news  *News            // of the Listen under way; nil if nobody listens
}

// relisten is how long after Listen returned it is called again.
const relisten = time.Second

// name is what is waited for under one name.
type name struct {
	heard bool // of each change from now on somebody tells
	loops map[*hearing]struct{}
}

// hearing is one loop of Wait that can be woken.
type hearing struct {
	wakes   *Wakes
	name    string
	changes chan change
}

// change is what wakes a loop.
type change struct {
	saved core.Version // that is stored now; empty if that isn't known
	first bool         // nothing is known to have changed: changes are heard from now on
}

// News is what the store tells those who wait, during one call of Listen.
type News struct {
	wakes   *Wakes
	changed chan struct{}
	touched map[string]struct{} // that came or went since Names was called
	told    map[string]bool     // the names that Listen knows of, and whether it hears of them
	all     bool                // it hears of all names
	cancel  context.CancelFunc
}

// Wake has those who wait for name look at the store.
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

// wake hands a change over. Of several that lie there unseen, a look settles all.
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

// join has a loop be woken. A nil Wakes wakes nobody.
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
		ctx, cancel := context.WithCancel(context.Background()) // not of one who waits: others wait on
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

// stopIdle ends the listening if nobody waits. That somebody did in between, and it
// ends early, does no harm.
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

// listen calls Listen until nobody waits.
func (w *Wakes) listen(ctx context.Context, n *News) {
	for {
		w.Listen(ctx, n)
		n.deaf()
		if Sleep(ctx, relisten) != nil {
			return
		}
	}
}

// touch has Listen look at a name. The mu is held.
func (n *News) touch(name string) {
	n.touched[name] = struct{}{}
	signal(n.changed, struct{}{})
}

// Changed receives when the names that somebody waits for are others than when Names
// was called last.
func (n *News) Changed() <-chan struct{} { return n.changed }

// Names returns the names that came and went since it was called last. A Listen that
// hears of all names anyway need not call it.
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
		case waited != nil && heard: // it went and came
			waited.hear()
		}
	}
	clear(n.touched)
	return come, gone
}

// Heard says that n is told of each change of name from now on. Those who wait look
// once, unless they are about to: there may have been changes before.
func (n *News) Heard(name string) {
	n.whileCurrent(func(w *Wakes) {
		if _, told := n.told[name]; told {
			n.told[name] = true
		}
		if waited := w.names[name]; waited != nil {
			waited.hear()
		}
	})
}

// HeardAll is Heard for every name that somebody waits for, now or later.
func (n *News) HeardAll() {
	n.whileCurrent(func(w *Wakes) {
		n.all = true
		for _, waited := range w.names {
			waited.hear()
		}
	})
}

// Wake has those who wait for name look at the store.
func (n *News) Wake(name string) { n.whileCurrent(func(w *Wakes) { w.wake(name, change{}) }) }

// Saved is Wake where the store told which version is stored now: those who have seen
// another one need not look.
func (n *News) Saved(name string, v core.Version) {
	n.whileCurrent(func(w *Wakes) { w.wake(name, change{saved: v}) })
}

// deaf has all look by themselves.
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

// whileCurrent does what a Listen may do that hasn't been told to end.
func (n *News) whileCurrent(do func(*Wakes)) {
	n.wakes.mu.Lock()
	defer n.wakes.mu.Unlock()
	if n.wakes.news == n {
		do(n.wakes)
	}
}

// hear notes that changes are told from now on. The mu is held.
func (n *name) hear() {
	if n.heard {
		return
	}
	n.heard = true
	for loop := range n.loops {
		loop.wake(change{first: true})
	}
}

// signal sends unless a signal lies there already.
func signal[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

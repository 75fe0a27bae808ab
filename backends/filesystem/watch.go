package filesystem

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// How often the records that somebody waits for are looked at, and their leases,
// which takes ten times as long. Few are looked at each time; many in turns, so that
// thousands of waiters don't take the processor from those they wait for.
const (
	lookEvery      = 5 * time.Millisecond
	recordsPerLook = 10
	leasesPerLook  = 2
	leaseEvery     = 20 * time.Millisecond
)

// watcher looks at records and leases for all who wait in this process.
type watcher struct {
	mu      sync.Mutex
	of      map[place]*watch
	records []*watch // the one that was looked at longest ago first
	leases  []*watch // the same
	running bool     // look is called from time to time
}

var processWatcher = watcher{of: make(map[place]*watch)}

// watch is a record that somebody waits for.
type watch struct {
	at      place
	waiters []*waiter // guarded by watcher.mu

	// What follows is for the one who looks alone.
	leaseLooked time.Time
	version     core.Version
	info        fs.FileInfo // as it was when it was read last
	read        time.Time
}

// waiter is one who waits.
type waiter struct {
	b     *Backend
	seen  core.Version
	woken chan error
}

// join adds a waiter, who gets one value: nil once another version than seen is
// stored, or the lease is free; or what keeps that from being found out.
func (w *watcher) join(at place, b *Backend, seen core.Version) *waiter {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.of[at]
	if k == nil {
		k = &watch{at: at}
		w.of[at] = k
		w.records, w.leases = append(w.records, k), append(w.leases, k)
	}
	one := &waiter{b, seen, make(chan error, 1)}
	k.waiters = append(k.waiters, one)
	if !w.running {
		w.running = true
		go w.run()
	}
	return one
}

// leave takes a waiter away who waits no longer.
func (w *watcher) leave(at place, one *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if k := w.of[at]; k != nil {
		k.waiters = slices.DeleteFunc(k.waiters, func(other *waiter) bool { return other == one })
	}
}

// run looks until nobody waits.
func (w *watcher) run() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		w.look()
		<-tick.C
		if !w.goOn() {
			return
		}
	}
}

// goOn drops what nobody waits for, and reports whether anybody waits.
func (w *watcher) goOn() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	idle := func(k *watch) bool { return len(k.waiters) == 0 }
	w.records = slices.DeleteFunc(w.records, idle)
	w.leases = slices.DeleteFunc(w.leases, idle)
	for at, k := range w.of {
		if idle(k) {
			delete(w.of, at)
		}
	}
	w.running = len(w.of) > 0
	return w.running
}

func (w *watcher) look() {
	for _, k := range w.nextOf(&w.records, recordsPerLook) {
		version, err := k.look()
		w.wake(k, err, func(one *waiter) bool { return one.seen != version })
	}
	for _, k := range w.nextOf(&w.leases, leasesPerLook) {
		b := w.backend(k)
		if b == nil || time.Since(k.leaseLooked) < leaseEvery {
			continue
		}
		held, err := b.leaseHeld(k.at)
		k.leaseLooked = time.Now()
		w.wake(k, err, func(*waiter) bool { return !held })
	}
}

// nextOf returns the first n of a queue, and puts them at its end.
func (w *watcher) nextOf(queue *[]*watch, n int) []*watch {
	w.mu.Lock()
	defer w.mu.Unlock()
	n = min(n, len(*queue))
	next := slices.Clone((*queue)[:n])
	*queue = append(slices.Delete(*queue, 0, n), next...)
	return next
}

// backend is that of one who waits, or nil.
func (w *watcher) backend(k *watch) *Backend {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(k.waiters) == 0 {
		return nil
	}
	return k.waiters[0].b
}

// wake wakes all of a record's waiters with err, or those that are due.
func (w *watcher) wake(k *watch, err error, due func(*waiter) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k.waiters = slices.DeleteFunc(k.waiters, func(one *waiter) bool {
		if err == nil && !due(one) {
			return false
		}
		one.woken <- err
		return true
	})
}

// unread is how long an unchanged-looking file goes without being read:
// within one tick of the file system's clock, a file can change behind the
// same number, size and date.
const unread = 200 * time.Millisecond

// look returns the stored version, and reads the record only where it may have
// changed.
func (k *watch) look() (core.Version, error) {
	info, err := os.Stat(k.at.record())
	if errors.Is(err, fs.ErrNotExist) {
		k.info = nil
		return core.Absent, nil
	}
	if err != nil {
		return "", err
	}
	if k.info != nil && time.Since(k.read) < unread &&
		os.SameFile(info, k.info) && info.Size() == k.info.Size() && info.ModTime().Equal(k.info.ModTime()) {
		return k.version, nil
	}
	version, err := storedVersion(k.at.record())
	if err != nil {
		return "", err
	}
	k.version, k.info, k.read = version, info, time.Now()
	return version, nil
}

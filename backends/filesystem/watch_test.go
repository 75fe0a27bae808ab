package filesystem

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// watched returns how many records the process looks at, and for how many waiters.
func (w *watcher) watched() (records, waiters int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range w.of {
		waiters += len(k.waiters)
	}
	return len(w.records), waiters
}

// until waits for a condition.
func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !met(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not yet: ", what)
		}
	}
}

func TestAllWhoWaitForARecordShareOneLook(t *testing.T) {
	const backends, each = 4, 25
	dir := t.TempDir()
	b := open(t, dir, Options{})
	v := save(t, b, "k", record(1, 0), core.Absent)
	lease, err := b.Acquire(t.Context(), "k", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	woken, gone := make(chan error, backends*each), make(chan error, 1)
	for range backends {
		other := open(t, dir, Options{})
		for range each {
			go func() { woken <- other.Wait(t.Context(), "k", v) }()
		}
	}
	go func() { gone <- b.Wait(ctx, "k", v) }()
	until(t, "all wait", func() bool {
		_, waiters := processWatcher.watched()
		return waiters == backends*each+1
	})
	if records, _ := processWatcher.watched(); records != 1 {
		t.Errorf("%d records are looked at", records)
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("whoever waits no longer gets %v", err)
	}
	save(t, b, "k", record(2, 0), v)
	for range backends * each {
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
	}
	if err := lease.Release(t.Context()); err != nil {
		t.Error(err)
	}
	until(t, "nobody looks", func() bool {
		processWatcher.mu.Lock()
		defer processWatcher.mu.Unlock()
		return !processWatcher.running && len(processWatcher.records)+len(processWatcher.leases) == 0
	})
}

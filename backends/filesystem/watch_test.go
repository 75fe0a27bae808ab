package filesystem

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

func TestASaveWakesAllWaitersForItsRecord(t *testing.T) {
	const backends, each = 4, 25
	dir := t.TempDir()
	b := open(t, dir, Options{})
	v := save(t, b, "k", record(1, 0), core.Absent)
	if _, err := b.Acquire(t.Context(), "k", time.Hour); err != nil {
		t.Fatal(err)
	}
	woken := make(chan error, backends*each)
	for range backends {
		other := open(t, dir, Options{})
		for range each {
			go func() { woken <- other.Wait(t.Context(), "k", v) }()
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { gone <- b.Wait(ctx, "k", v) }()
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("a caller who waits no longer gets %v", err)
	}
	save(t, b, "k", record(2, 0), v)
	for range backends * each {
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
	}
}

// Package backend has those share a look who have the same place and name.
func TestAllBackendsOnAFileShareOneLook(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir, Options{}), open(t, filepath.Join(dir, "."), Options{})
	save(t, a, "k", record(1, 0), core.Absent)
	watchOf := func(b *Backend, key string) backend.Watch {
		at, err := b.place(key)
		if err != nil {
			t.Fatal(err)
		}
		return watch(b, at)
	}
	one, same, other := watchOf(a, "k"), watchOf(b, "k"), watchOf(b, "l")
	if one.Place != same.Place || one.Name != same.Name {
		t.Error("two Backends look at one file")
	}
	if other.Name == one.Name {
		t.Error("two files are one")
	}
}

// A program may write in place, within one tick of the file system's clock or with the
// old date.
func TestAChangeThatTheFilesDateDoesNotTellIsSeen(t *testing.T) {
	for _, c := range []struct {
		name    string
		changed time.Duration // before the first look
		settled bool
	}{
		{"soon if the file had just changed", 0, false},
		{"later if the file had changed long ago", time.Hour, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t, t.TempDir(), Options{})
			save(t, b, "k", []byte(`{"a":1}`), core.Absent)
			at, err := b.place("k")
			if err != nil {
				t.Fatal(err)
			}
			date := time.Now().Add(-c.changed)
			write := func(content string) core.Version {
				t.Helper()
				f, err := os.OpenFile(at.record(), os.O_WRONLY|os.O_TRUNC, 0)
				if err != nil {
					t.Fatal(err)
				}
				_, err = f.WriteString(content)
				if err := errors.Join(err, f.Close(), os.Chtimes(at.record(), date, date)); err != nil {
					t.Fatal(err)
				}
				return versionOf([]byte(content))
			}
			k := &watched{b: b, at: at}
			sees := func(want core.Version) {
				t.Helper()
				if got, err := k.stored(); got != want || err != nil {
					t.Errorf("the look sees %s (%v), want %s", got, err, want)
				}
			}
			old := write(`{"a":2}`)
			sees(old)
			changed := write(`{"a":3}`)
			k.read = k.read.Add(-unread)
			if c.settled {
				sees(old)
				k.read = k.read.Add(-settledUnread)
			}
			sees(changed)
		})
	}
}

func TestALeaseIsLookedAtWithEveryFifthLookAtTheRecord(t *testing.T) {
	b := open(t, t.TempDir(), Options{})
	v := save(t, b, "k", record(1, 0), core.Absent)
	at, err := b.place("k")
	if err != nil {
		t.Fatal(err)
	}
	w := watch(b, at)
	for i := range 11 {
		stored, left, err := w.Look(t.Context(), "k")
		if err != nil || stored != v {
			t.Fatal(stored, err)
		}
		if want := i%5 == 0; (left <= 0) != want {
			t.Errorf("look %d sees that the lease is free: %v", i, !want)
		}
	}
}

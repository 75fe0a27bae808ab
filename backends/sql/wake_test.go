package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/internal/testkit"
)

// mute is a database that takes statements and doesn't answer.
type mute struct {
	gorm.ConnPool
	asked, open atomic.Int64
}

func (m *mute) QueryContext(ctx context.Context, _ string, _ ...any) (*stdsql.Rows, error) {
	m.asked.Add(1)
	m.open.Add(1)
	defer m.open.Add(-1)
	<-ctx.Done()
	return nil, ctx.Err()
}

// lookTimeout is how long backend.Wait lets a look take.
const lookTimeout = 10 * time.Second

func TestAWaiterCanLeaveADatabaseThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := new(mute)
		b := &Backend{pool: m, sql: dialects["sqlite"].statements("t", false)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		if err := b.Wait(ctx, "k", "1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("after %v Wait = %v", time.Since(begun), err)
		}
		time.Sleep(together + lookTimeout)
		synctest.Wait()
		if m.asked.Load() != 1 || m.open.Load() != 0 {
			t.Errorf("the database was asked %d times, and %d questions are open", m.asked.Load(), m.open.Load())
		}
		begun = time.Now()
		if err := b.Wait(t.Context(), "k", "1"); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != firstPause+lookTimeout {
			t.Errorf("a waiter that has all the time: after %v Wait = %v", time.Since(begun), err)
		}
		time.Sleep(lookTimeout) // the last question ends
	})
}

func TestAWaiterLooksTenTimesASecondInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w := startSQLite(t).openWired(t, Options{Table: newTable()})
		seen := save(t, b, "k", "1", core.Absent)
		if _, err := b.Acquire(t.Context(), "k", time.Hour); err != nil {
			t.Fatal(err)
		}
		back := make(chan error, 1)
		go func() { back <- b.Wait(t.Context(), "k", seen) }()
		time.Sleep(10 * time.Second)
		w.statements.Store(0)
		time.Sleep(10 * time.Second)
		if n := w.statements.Load(); n < 80 || n > 120 {
			t.Errorf("%d looks in 10 seconds", n)
		}
		save(t, b, "k", "2", seen)
		if err := <-back; err != nil {
			t.Error(err)
		}
	})
}

// A notification of a save tells its version, so that nobody looks.
func TestASaveThatIsToldWakesWithoutALook(t *testing.T) {
	b, w := startSQLite(t).openWired(t, Options{Table: newTable()})
	said := make(chan func(payload string), 1)
	b.wakes = &backend.Wakes{Listen: listen(func(ctx context.Context, _ string, heard func(string)) error {
		said <- heard
		<-ctx.Done()
		return ctx.Err()
	})}
	seen := save(t, b, "k", "1", core.Absent)
	if _, err := b.Acquire(t.Context(), "k", time.Hour); err != nil {
		t.Fatal(err)
	}
	w.statements.Store(0)
	back := make(chan error, 1)
	go func() { back <- b.Wait(t.Context(), "k", seen) }()
	say := <-said
	say("") // it listens from now on, and what was before can be seen
	testkit.Until(t, "the waiter looks", func() bool { return w.statements.Load() == 1 })
	say(savedNews("another", "2"))
	say(savedNews("k", "2"))
	if err := <-back; err != nil {
		t.Error(err)
	}
	if n := w.statements.Load(); n > 1 {
		t.Errorf("the waiter looks %d times, and should once", n)
	}
}

func TestLooksAtNearlyOneTimeAreOneStatement(t *testing.T) {
	d := startSQLite(t)
	b, w := d.openWired(t, Options{Table: newTable(), Prefix: "p:"})
	want := make(map[string]looked)
	var keys []string
	for i := range 70 {
		key := string(rune('a'+i%26)) + string(rune('0'+i/26))
		keys = append(keys, key)
		if i%3 == 0 {
			continue // absent
		}
		want[key] = looked{version: save(t, b, key, "1", "")}
	}
	w.statements.Store(0)
	found, err := b.lookAt(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	if n := w.statements.Load(); n != 2 {
		t.Errorf("%d records are looked at with %d statements, want 2", len(keys), n)
	}
	for _, key := range keys {
		if found[key].version != want[key].version || found[key].left > 0 {
			t.Errorf("%s: found %v, want %v", key, found[key], want[key])
		}
	}

	w.statements.Store(0)
	answers := make(chan error)
	for _, key := range keys[:8] {
		go func() {
			version, _, err := b.lookWithOthers(t.Context(), key)
			if version != want[key].version {
				t.Errorf("%s: found %q, want %q", key, version, want[key].version)
			}
			answers <- err
		}()
	}
	for range 8 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := w.statements.Load(); n > 7 {
		t.Errorf("8 looks were %d statements", n)
	}
}

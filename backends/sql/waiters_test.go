//go:build unix

package sql

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/herd"
)

// meet has waiters wait for a refresh that ends when PostgreSQL says that all
// of them listen.
func meet(t testing.TB, waiters int) (after []time.Duration, calls []int64) {
	t.Helper()
	d, name := starters["postgres"](t), newTable()
	execute(t, d.connect(t), "CREATE DATABASE "+name) // where nobody else listens
	d.dsn = strings.Replace(d.dsn, "dbname=postgres", "dbname="+name, 1)
	o := Options{Table: newTable(), Listen: ListenWithPgx(d.dsn)}
	holder, observer := d.open(t, o), d.connect(t)
	seen, err := holder.Save(t.Context(), "k", core.Record{Data: []byte("stale"), Version: core.AnyVersion})
	if err != nil {
		t.Fatal(err)
	}
	all := make([]herd.Waiter, waiters)
	for i := range waiters {
		b, w := d.openWired(t, o) // connected, as a process that lives
		w.statements.Store(0)
		defer w.ConnPool.(io.Closer).Close() // the server has so many connections and no more
		defer b.wakes.rest()
		all[i] = herd.Waiter{Backend: b, Calls: func() int64 { return w.statements.Load() + 1 }} // and LISTEN
	}
	asleep := func(ctx context.Context) error {
		for n := 0; n < waiters; time.Sleep(time.Millisecond) {
			err := observer.WithContext(ctx).Raw("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN graphtoken' AND state = 'idle'").Row().Scan(&n)
			if err != nil {
				return err
			}
		}
		return nil
	}
	return herd.Wait(t, holder, "k", seen, asleep, all)
}

func TestWaitersCallPostgresTenTimesAtMost(t *testing.T) {
	const waiters = 16
	after, calls := meet(t, waiters)
	if most := calls[waiters-1]; most > 10 {
		t.Errorf("a waiter executed %d statements", most)
	}
	t.Logf("of %d waiters the middle one is back %v after the save, the last one %v; statements: %d at most",
		waiters, after[waiters/2], after[waiters-1], calls[waiters-1])
}

func BenchmarkWaiters(b *testing.B) {
	herd.Report(b, func() ([]time.Duration, []int64) { return meet(b, 64) })
}

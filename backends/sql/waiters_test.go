//go:build unix

package sql

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/waiters"
)

// waitForOne has many wait for a refresh that ends when PostgreSQL says that all
// of them listen.
func waitForOne(t testing.TB, many int) (after []time.Duration, calls []int64) {
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
	all := make([]waiters.Waiter, many)
	for i := range many {
		b, w := d.openWired(t, o) // connected, as a process that lives
		b.wakes.Linger = 0        // the server has so many connections and no more
		w.statements.Store(0)
		defer w.ConnPool.(io.Closer).Close()
		all[i] = waiters.Waiter{Backend: b, Calls: func() int64 { return w.statements.Load() + 1 }} // and LISTEN
	}
	asleep := func(ctx context.Context) error {
		return testkit.Poll(ctx, func() error {
			n := 0
			err := observer.WithContext(ctx).Raw("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN graphtoken' AND state = 'idle'").Row().Scan(&n)
			if err == nil && n < many {
				err = fmt.Errorf("%d of %d listen", n, many)
			}
			return err
		})
	}
	return waiters.Wait(t, holder, "k", seen, asleep, all)
}

func TestWaitersCallPostgresTenTimesAtMost(t *testing.T) {
	const many = 16
	after, calls := waitForOne(t, many)
	if most := calls[many-1]; most > 10 {
		t.Errorf("a waiter executed %d statements", most)
	}
	t.Logf("of %d waiters the middle one is back %v after the save, the last one %v; statements: %d at most",
		many, after[many/2], after[many-1], calls[many-1])
}

func BenchmarkWaiters(b *testing.B) {
	waiters.Report(b, func() ([]time.Duration, []int64) { return waitForOne(b, 64) })
}

//go:build unix

package sql

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// herd has waiters wait for a refresh, each with connections of its own as
// another process has. The refresh ends when PostgreSQL says that all of them
// listen. It returns when each came back, counted from the save's answer, and
// how many statements it had executed.
func herd(t testing.TB, waiters int) (after []time.Duration, calls []int64) {
	t.Helper()
	d, name := starters["postgres"](t), newTable()
	execute(t, d.connect(t), "CREATE DATABASE "+name) // where nobody else listens
	d.dsn = strings.Replace(d.dsn, "dbname=postgres", "dbname="+name, 1)
	o := Options{Table: newTable(), Listen: ListenWithPgx(d.dsn)}
	holder, observer := d.open(t, o), d.connect(t)
	seen, err := holder.Save(t.Context(), "k", core.Record{Data: []byte("stale")})
	if err != nil {
		t.Fatal(err)
	}
	backends, wires, returned := make([]*Backend, waiters), make([]*wire, waiters), make([]time.Duration, waiters)
	for i := range waiters {
		backends[i], wires[i] = d.openWired(t, o) // connected, as a process that lives
		wires[i].statements.Store(0)
	}
	var saved atomic.Int64 // when, in nanoseconds of begun
	begun := time.Now()
	leased := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_, err := holder.ShouldRefresh(t.Context(), "k", core.RefreshRequest{
			Seen: seen,
			Refresh: func(ctx context.Context, current core.Record) error {
				close(leased)
				for n := 0; n < waiters; time.Sleep(time.Millisecond) {
					err := observer.WithContext(ctx).Raw("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN graphtoken' AND state = 'idle'").Row().Scan(&n)
					if err != nil {
						return err
					}
				}
				_, err := holder.Save(ctx, "k", core.Record{Data: []byte("fresh"), Version: current.Version})
				saved.Store(int64(time.Since(begun)))
				return err
			},
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-leased
	for i, b := range backends {
		all.Go(func() {
			decision, err := b.ShouldRefresh(t.Context(), "k", core.RefreshRequest{
				Seen:    seen,
				Refresh: func(context.Context, core.Record) error { t.Error("a second refresh"); return nil },
			})
			returned[i] = time.Since(begun)
			if err != nil || decision != core.RefreshedElsewhere {
				t.Errorf("ShouldRefresh = %v, %v", decision, err)
			}
		})
	}
	all.Wait()
	for i := range waiters {
		after = append(after, returned[i]-time.Duration(saved.Load()))
		calls = append(calls, wires[i].statements.Load()+1) // and LISTEN
	}
	slices.Sort(after)
	slices.Sort(calls)
	return after, calls
}

func TestWaitersCallPostgresTenTimesAtMost(t *testing.T) {
	const waiters = 16
	after, calls := herd(t, waiters)
	if most := calls[waiters-1]; most > 10 {
		t.Errorf("a waiter executed %d statements", most)
	}
	t.Logf("of %d waiters the middle one is back %v after the save, the last one %v; statements: %d at most",
		waiters, after[waiters/2], after[waiters-1], calls[waiters-1])
}

func BenchmarkWaiters(b *testing.B) {
	const waiters = 64
	var all []time.Duration
	var most int64
	for b.Loop() {
		after, calls := herd(b, waiters)
		all = append(all, after...)
		most = max(most, calls[waiters-1])
	}
	slices.Sort(all)
	b.ReportMetric(0, "ns/op") // it says nothing: the waiters are started in it
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(most), "statements-at-most")
}

package redis_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

// waiters is how many wait for one refresh, each with a client of its own as
// another process has.
const waiters = 64

// herd has waiters wait for a refresh that ends when all of them do. It returns
// when each came back, counted from the save's answer, and how often it called
// the server.
func herd(t testing.TB, addr string) (after []time.Duration, calls []int64) {
	t.Helper()
	holder, observer := open(t, addr)
	seen := save(t, holder, "k", "stale", core.AnyVersion)
	var saved atomic.Int64 // when, in nanoseconds of begun
	begun := time.Now()
	returned, trips := make([]time.Duration, waiters), make([]counter, waiters)
	leased := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_, err := holder.ShouldRefresh(t.Context(), "k", core.RefreshRequest{
			Seen: seen,
			Refresh: func(ctx context.Context, current core.Record) error {
				close(leased)
				// Not a client of theirs: what it sees says that they sleep.
				for {
					n, err := observer.PubSubNumSub(ctx, "{k}:wake").Result()
					if err != nil {
						return err
					}
					if n["{k}:wake"] == waiters {
						break
					}
					time.Sleep(time.Millisecond)
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
	for i := range waiters {
		b, client := open(t, addr, &trips[i])
		if err := client.Ping(t.Context()).Err(); err != nil { // connected, as a process that lives
			t.Fatal(err)
		}
		trips[i].n.Store(0)
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
		calls = append(calls, trips[i].n.Load()+1) // hooks don't see SUBSCRIBE
	}
	slices.Sort(after)
	slices.Sort(calls)
	return after, calls
}

func TestWaitersCallTheServerTenTimesAtMost(t *testing.T) {
	after, calls := herd(t, redistest.Start(t).Addr)
	if most := calls[waiters-1]; most > 10 {
		t.Errorf("a waiter called the server %d times", most)
	}
	t.Logf("of %d waiters the middle one is back %v after the save, the last one %v; calls: %d at most",
		waiters, after[waiters/2], after[waiters-1], calls[waiters-1])
}

func BenchmarkWaiters(b *testing.B) {
	addr := redistest.Start(b).Addr
	var all []time.Duration
	var most int64
	for b.Loop() {
		after, calls := herd(b, addr)
		all = append(all, after...)
		most = max(most, calls[waiters-1])
	}
	slices.Sort(all)
	b.ReportMetric(0, "ns/op") // it says nothing: the waiters are started in it
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(most), "calls-at-most")
}

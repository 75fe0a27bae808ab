// Package waiters lets many backends wait for one refresh, as if each were in a process of
// its own. It reports how soon each of them has the token, and how often each calls the
// store while it waits.
package waiters

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// Waiter is a backend over a client of its own, as another process has, and how often
// that client has called the store.
type Waiter struct {
	Backend core.TokenBackend
	Calls   func() int64
}

// Wait has the holder refresh the record of a key, whose version is seen, and
// the waiters wait for it. The refresh ends once asleep returns, which it does
// when all of them are. Wait returns when each came back, counted from the
// save's answer, and how often each called, both in ascending order.
func Wait(t testing.TB, holder core.TokenBackend, key string, seen core.Version, asleep func(context.Context) error, waiters []Waiter) (after []time.Duration, calls []int64) {
	t.Helper()
	var saved atomic.Int64 // when, in nanoseconds of begun
	begun := time.Now()
	returned := make([]time.Duration, len(waiters))
	leased := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		_, err := holder.ShouldRefresh(t.Context(), key, core.RefreshRequest{
			Seen: seen,
			Refresh: func(ctx context.Context, current core.Record) error {
				close(leased)
				if err := asleep(ctx); err != nil {
					return err
				}
				_, err := holder.Save(ctx, key, core.Record{Data: []byte("fresh"), Version: current.Version})
				saved.Store(int64(time.Since(begun)))
				return err
			},
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-leased
	for i, w := range waiters {
		all.Go(func() {
			decision, err := w.Backend.ShouldRefresh(t.Context(), key, core.RefreshRequest{
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
	for i, w := range waiters {
		after = append(after, returned[i]-time.Duration(saved.Load()))
		calls = append(calls, w.Calls())
	}
	slices.Sort(after)
	slices.Sort(calls)
	return after, calls
}

// Report runs a Wait again and again until the benchmark is over, and reports
// the median and the 99th percentile of when waiters came back, and how often one
// called at most.
func Report(b *testing.B, wait func() (after []time.Duration, calls []int64)) {
	b.Helper()
	var all []time.Duration
	var most int64
	for b.Loop() {
		after, calls := wait()
		all = append(all, after...)
		most = max(most, slices.Max(calls))
	}
	slices.Sort(all)
	b.ReportMetric(0, "ns/op") // it says nothing: the waiters are started in it
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "median-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(most), "calls-at-most")
}

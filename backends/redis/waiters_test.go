package redis_test

import (
	"context"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/herd"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

// waiters is how many wait for one refresh, each with a client of its own as
// another process has.
const waiters = 64

// meet has waiters wait for a refresh that ends when all of them do.
func meet(t testing.TB, addr string) (after []time.Duration, calls []int64) {
	t.Helper()
	holder, observer := open(t, addr)
	seen := save(t, holder, "k", "stale", core.AnyVersion)
	trips, all := make([]counter, waiters), make([]herd.Waiter, waiters)
	for i := range waiters {
		b, client := open(t, addr, &trips[i])
		if err := client.Ping(t.Context()).Err(); err != nil { // connected, as a process that lives
			t.Fatal(err)
		}
		trips[i].n.Store(0)
		all[i] = herd.Waiter{Backend: b, Calls: func() int64 { return trips[i].n.Load() + 1 }} // hooks don't see SUBSCRIBE
	}
	// Not a client of theirs: what it sees says that they sleep.
	asleep := func(ctx context.Context) error {
		for {
			n, err := observer.PubSubNumSub(ctx, "{k}:wake").Result()
			if err != nil || n["{k}:wake"] == waiters {
				return err
			}
			time.Sleep(time.Millisecond)
		}
	}
	return herd.Wait(t, holder, "k", seen, asleep, all)
}

func TestWaitersCallTheServerTenTimesAtMost(t *testing.T) {
	after, calls := meet(t, redistest.Start(t).Addr)
	if most := calls[waiters-1]; most > 10 {
		t.Errorf("a waiter called the server %d times", most)
	}
	t.Logf("of %d waiters the middle one is back %v after the save, the last one %v; calls: %d at most",
		waiters, after[waiters/2], after[waiters-1], calls[waiters-1])
}

func BenchmarkWaiters(b *testing.B) {
	addr := redistest.Start(b).Addr
	herd.Report(b, func() ([]time.Duration, []int64) { return meet(b, addr) })
}

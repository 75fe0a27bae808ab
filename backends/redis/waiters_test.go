package redis_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
	"github.com/graphtoken/graphtoken/internal/testkit/waiters"
)

// many is how many wait for one refresh, each with a client of its own as
// another process has.
const many = 64

// waitForOne has many wait for a refresh that ends when all of them do.
func waitForOne(t testing.TB, addr string) (after []time.Duration, calls []int64) {
	t.Helper()
	holder, observer := open(t, addr)
	seen := save(t, holder, "k", "stale", core.AnyVersion)
	trips, all := make([]counter, many), make([]waiters.Waiter, many)
	for i := range many {
		b, client := open(t, addr, &trips[i])
		if err := client.Ping(t.Context()).Err(); err != nil { // connected, as a process that lives
			t.Fatal(err)
		}
		trips[i].n.Store(0)
		all[i] = waiters.Waiter{Backend: b, Calls: func() int64 { return trips[i].n.Load() + 1 }} // hooks don't see SUBSCRIBE
	}
	// Not a client of theirs: what it sees says that they sleep.
	asleep := func(ctx context.Context) error {
		return testkit.Poll(ctx, func() error {
			n, err := observer.PubSubNumSub(ctx, "{k}:wake").Result()
			if err == nil && n["{k}:wake"] != many {
				err = fmt.Errorf("%d of %d subscribe", n["{k}:wake"], many)
			}
			return err
		})
	}
	return waiters.Wait(t, holder, "k", seen, asleep, all)
}

func TestWaitersCallTheServerTenTimesAtMost(t *testing.T) {
	after, calls := waitForOne(t, redistest.Start(t).Addr)
	if most := calls[many-1]; most > 10 {
		t.Errorf("a waiter called the server %d times", most)
	}
	t.Logf("of %d waiters the middle one is back %v after the save, the last one %v; calls: %d at most",
		many, after[many/2], after[many-1], calls[many-1])
}

func BenchmarkWaiters(b *testing.B) {
	addr := redistest.Start(b).Addr
	waiters.Report(b, func() ([]time.Duration, []int64) { return waitForOne(b, addr) })
}

package backend

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func TestLocalLeasesForgetKeysThatAreNoLongerUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l LocalLeases
		const alive = 200
		for i := range 10_000 {
			key := strconv.Itoa(i)
			if _, err := l.Acquire(t.Context(), key, alive*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			ctx, leave := context.WithTimeout(t.Context(), time.Millisecond)
			err := Wait(ctx, Origin("there").Op("wait", key), core.Absent, l.Watch(key, func() (core.Version, error) { return core.Absent, nil }))
			if err == nil {
				t.Fatal("the lease is free at once")
			}
			leave()
			synctest.Wait()
			if n := len(l.leases); n > alive || n != len(l.order) {
				t.Fatalf("%d and %d leases are kept, of which %d have not expired", n, len(l.order), alive)
			}
			if n := len(l.wakes.names); n > 0 {
				t.Fatalf("%d keys that nobody waits for are kept", n)
			}
		}
	})
}

func TestAForgottenLeaseIsLostToItsHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l LocalLeases
		lease, err := l.Acquire(t.Context(), "first", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		kept, err := l.Acquire(t.Context(), "renewed", time.Second)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(900 * time.Millisecond)
		if err := kept.Renew(t.Context(), time.Hour); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * time.Millisecond)
		if _, err := l.Acquire(t.Context(), "another", time.Hour); err != nil {
			t.Fatal(err)
		}
		if l.leases["first"] != nil {
			t.Error("an expired lease is kept")
		}
		if err := lease.Release(t.Context()); err != core.ErrLeaseLost {
			t.Errorf("Release of an expired lease: %v", err)
		}
		if err := kept.Release(t.Context()); err != nil {
			t.Errorf("Release of a renewed lease: %v", err)
		}
	})
}

func TestLocalLeasesAreExclusiveAndExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		var l LocalLeases
		first, err := l.Acquire(ctx, "k", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Acquire(ctx, "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("a held lease was granted: %v", err)
		}
		time.Sleep(50 * time.Second)
		if err := first.Renew(ctx, time.Minute); err != nil {
			t.Error(err)
		}
		time.Sleep(50 * time.Second)
		if _, err := l.Acquire(ctx, "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("a renewed lease was granted: %v", err)
		}
		time.Sleep(10 * time.Second)
		second, err := l.Acquire(ctx, "k", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := first.Renew(ctx, time.Minute); !errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("an expired lease was renewed: %v", err)
		}
		if err := first.Release(ctx); !errors.Is(err, core.ErrLeaseLost) {
			t.Errorf("an expired lease was released: %v", err)
		}
		if _, err := l.Acquire(ctx, "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Error("a successor's lease was freed")
		}
		if err := second.Release(ctx); err != nil {
			t.Error(err)
		}
		version := func() (core.Version, error) { return "1", nil }
		if err := Wait(ctx, Origin("there").Op("wait", "k"), "1", l.Watch("k", version)); err != nil {
			t.Errorf("a wait for a free lease: %v", err)
		}
	})
}

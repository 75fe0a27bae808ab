package backend

import (
	"context"
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

package main

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// slow answers late, as a store on the other side of the world does.
type slow struct{ core.TokenBackend }

func (s slow) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	time.Sleep(3 * longWait) // synctest's time
	return s.TokenBackend.(core.Leaser).Acquire(ctx, key, ttl)
}

func TestALongWaitForAnotherProcessIsToldOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		held  time.Duration // by another process; 0: by none
		wrap  func(core.TokenBackend) core.TokenBackend
		takes time.Duration // the refresh itself
		want  int
	}{
		{"a wait of a second is not told", time.Second, nil, time.Second, 0},
		{"a wait of half a minute is told once", 30 * time.Second, nil, time.Second, 1},
		{"a refresh of half a minute is no wait", 0, nil, 30 * time.Second, 0},
		{"a short wait before a long refresh is not told", time.Second, nil, 30 * time.Second, 0},
		{"a store that answers late is no other process", 0, func(b core.TokenBackend) core.TokenBackend { return slow{b} }, time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := inMemory(t)
				if c.held > 0 {
					lease, err := b.(core.Leaser).Acquire(t.Context(), "ana", time.Minute)
					if err != nil {
						t.Fatal(err)
					}
					time.AfterFunc(c.held, func() { _ = lease.Release(context.Background()) })
				}
				if c.wrap != nil {
					b = c.wrap(b)
				}
				told, refreshed := make(chan string, 10), false
				decision, err := telling{b, func(key string) { told <- key }}.ShouldRefresh(t.Context(), "ana", core.RefreshRequest{
					Refresh: func(context.Context, core.Record) error {
						time.Sleep(c.takes)
						refreshed = true
						return nil
					},
				})
				if err != nil || decision != core.RefreshedHere || !refreshed {
					t.Errorf("%v, %v", decision, err)
				}
				if len(told) != c.want || c.want > 0 && <-told != "ana" {
					t.Errorf("told %d times, want %d", len(told), c.want)
				}
			})
		})
	}
}

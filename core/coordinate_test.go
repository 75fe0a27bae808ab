package core_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func save(t testing.TB, b core.TokenBackend, data string) core.Version {
	t.Helper()
	v, err := b.Save(context.Background(), "k", core.Record{Data: []byte(data), Version: core.AnyVersion})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestEachOfTheThreeDecisionsIsReached(t *testing.T) {
	ctx := context.Background()
	b := newBackend()
	old := save(t, b, "old")
	seen := save(t, b, "new")
	refuse := func(context.Context, core.Record) error { t.Error("refreshed"); return nil }

	if d, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: old, Refresh: refuse}); d != core.RefreshedElsewhere || err != nil {
		t.Errorf("an older version seen: %v, %v", d, err)
	}
	if d, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: core.Absent, Refresh: refuse}); d != core.RefreshedElsewhere || err != nil {
		t.Errorf("nothing seen: %v, %v", d, err)
	}
	if d, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: seen}); d != core.RefreshNow || err != nil {
		t.Errorf("a question: %v, %v", d, err)
	}
	for _, v := range []core.Version{seen, core.AnyVersion} {
		d, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: v, Refresh: func(ctx context.Context, rec core.Record) error {
			_, err := b.Save(ctx, "k", core.Record{Data: append(rec.Data, '!'), Version: rec.Version})
			return err
		}})
		if d != core.RefreshedHere || err != nil {
			t.Errorf("seen %q: %v, %v", v, d, err)
		}
	}
	if d, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: core.AnyVersion, Refresh: func(context.Context, core.Record) error { return core.ErrNotNeeded }}); d != core.RefreshedElsewhere || err != nil {
		t.Errorf("not needed: %v, %v", d, err)
	}
	if d, err := (core.Uncoordinated{}).ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: core.AnyVersion, Refresh: refuse}); d != core.RefreshNow || err != nil {
		t.Errorf("uncoordinated: %v, %v", d, err)
	}
}

func TestAnAbsentRecordIsRefreshedAsAbsent(t *testing.T) {
	b := newBackend()
	d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: core.Absent, Refresh: func(ctx context.Context, rec core.Record) error {
		if rec.Version != core.Absent || rec.Data != nil {
			t.Errorf("the current record is %q", rec.Version)
		}
		_, err := b.Save(ctx, "k", core.Record{Data: []byte("x"), Version: core.Absent})
		return err
	}})
	if d != core.RefreshedHere || err != nil {
		t.Error(d, err)
	}
}

func TestManyCallersAreOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newBackend()
		seen := save(t, shared, "stale")
		var refreshes, here atomic.Int32
		var wg sync.WaitGroup
		start := time.Now()
		for range 2 {
			b := handle(shared.store)
			for range 50 {
				wg.Go(func() {
					d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen, Refresh: func(ctx context.Context, rec core.Record) error {
						refreshes.Add(1)
						time.Sleep(3 * time.Second) // the provider's
						_, err := b.Save(ctx, "k", core.Record{Data: []byte("fresh"), Version: rec.Version})
						return err
					}})
					if err != nil {
						t.Error(err)
					}
					if d == core.RefreshedHere {
						here.Add(1)
					}
				})
			}
		}
		wg.Wait()
		if refreshes.Load() != 1 || here.Load() != 1 {
			t.Errorf("%d refreshes, %d of them here", refreshes.Load(), here.Load())
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("the last waiter returned after %v", took)
		}
	})
}

func TestAFailedRefreshFreesTheLease(t *testing.T) {
	b := newBackend()
	seen := save(t, b, "stale")
	fail := errors.New("503")
	for range 2 {
		if d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen, Refresh: func(context.Context, core.Record) error { return fail }}); d != 0 || !errors.Is(err, fail) {
			t.Errorf("got %v, %v", d, err)
		}
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: core.AnyVersion, Refresh: func(context.Context, core.Record) error { panic("refresh") }})
	}()
	if l, err := b.Acquire(context.Background(), "k", time.Minute); err != nil {
		t.Errorf("after a panic: %v", err)
	} else if err := l.Release(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestALeaseIsRenewedWhileTheProviderTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		seen := save(t, b, "stale")
		refresh := func(ctx context.Context, rec core.Record) error {
			time.Sleep(30 * time.Second) // three leases
			_, err := b.Save(ctx, "k", core.Record{Data: []byte("fresh"), Version: rec.Version})
			return err
		}
		var here atomic.Int32
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen, Refresh: refresh, LeaseTTL: 10 * time.Second})
				if err != nil {
					t.Error(err)
				}
				if d == core.RefreshedHere {
					here.Add(1)
				}
			})
		}
		wg.Wait()
		if here.Load() != 1 {
			t.Errorf("%d refreshes", here.Load())
		}
	})
}

func TestAVanishedHolderIsTakenOverWithinOneLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		seen := save(t, b, "stale")
		if _, err := b.Acquire(context.Background(), "k", 10*time.Second); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen, Refresh: func(ctx context.Context, rec core.Record) error {
			_, err := b.Save(ctx, "k", core.Record{Data: []byte("fresh"), Version: rec.Version})
			return err
		}})
		if d != core.RefreshedHere || err != nil {
			t.Error(d, err)
		}
		if took := time.Since(start); took > 12*time.Second {
			t.Errorf("taken over after %v", took)
		}
	})
}

func TestACallerWhoLeavesDoesNotCancelTheRefresh(t *testing.T) {
	b := newBackend()
	ctx, cancel := context.WithCancel(context.Background())
	d, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: core.AnyVersion, Refresh: func(ctx context.Context, _ core.Record) error {
		cancel()
		return ctx.Err()
	}})
	if d != core.RefreshedHere || err != nil {
		t.Error(d, err)
	}
	if _, err := b.Acquire(context.Background(), "k", time.Minute); err != nil {
		t.Errorf("the lease is kept: %v", err)
	}
}

func TestWaitingEndsWithTheCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		seen := save(t, b, "stale")
		if _, err := b.Acquire(context.Background(), "k", time.Hour); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		d, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: seen})
		if d != 0 || !errors.Is(err, context.DeadlineExceeded) {
			t.Error(d, err)
		}
	})
}

// watched is a backend whose waiters are woken, as by pub/sub.
type watched struct {
	*backend
	wait func(ctx context.Context, key string, seen core.Version) error
}

func (b watched) Wait(ctx context.Context, key string, seen core.Version) error {
	return b.wait(ctx, key, seen)
}

func (b watched) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

func TestAWatchedWaitCostsFewCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newBackend()
		seen := save(t, shared, "stale")
		lease, err := shared.Acquire(context.Background(), "k", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		waiting := handle(shared.store)
		b := watched{waiting, func(ctx context.Context, key string, seen core.Version) error {
			return shared.wait(ctx, key, seen, func() (core.Version, error) {
				rec, err := shared.Load(ctx, key)
				return rec.Version, err
			})
		}}
		go func() {
			time.Sleep(20 * time.Second)
			save(t, shared, "fresh")
			_ = lease.Release(context.Background())
		}()
		start := time.Now()
		d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen})
		if d != core.RefreshedElsewhere || err != nil {
			t.Error(d, err)
		}
		if took := time.Since(start); took > 20*time.Second+50*time.Millisecond {
			t.Errorf("woken after %v", took)
		}
		if n := waiting.count("load") + waiting.count("acquire"); n > 20 {
			t.Errorf("%d calls while waiting 20 s", n)
		}
	})
}

func TestABrokenOrHastyWatchFallsBackToPolling(t *testing.T) {
	for what, wait := range map[string]func(context.Context, string, core.Version) error{
		"fails":           func(context.Context, string, core.Version) error { return errOutage },
		"returns at once": func(context.Context, string, core.Version) error { return nil },
	} {
		t.Run("a watch that "+what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := newBackend()
				seen := save(t, inner, "stale")
				if _, err := inner.Acquire(context.Background(), "k", 3*time.Second); err != nil {
					t.Fatal(err)
				}
				b := watched{inner, wait}
				if d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen}); d != core.RefreshNow || err != nil {
					t.Error(d, err)
				}
				if n := inner.count("acquire"); n > 700 {
					t.Errorf("%d attempts in 3 s", n)
				}
			})
		})
		t.Run("a leaser's that "+what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				leasing := newBackend()
				b := core.WithLeaser(alone{backend: newBackend()}, watched{leasing, wait})
				seen := save(t, b, "stale")
				if _, err := leasing.Acquire(context.Background(), "k", 3*time.Second); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				if d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen}); d != core.RefreshNow || err != nil {
					t.Error(d, err)
				}
				if n := leasing.count("acquire"); n > 20 {
					t.Errorf("%d attempts in 3 s", n)
				}
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("taken over after %v", took)
				}
			})
		})
	}
}

// A wake-up can get lost with a connection.
func TestAWatchThatNeverWakesCostsSecondsNotTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := newBackend()
		seen := save(t, inner, "stale")
		if _, err := inner.Acquire(context.Background(), "k", time.Minute); err != nil {
			t.Fatal(err)
		}
		b := watched{inner, func(ctx context.Context, _ string, _ core.Version) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		start := time.Now()
		d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen})
		// The lease ends within the last pause, which is 30 seconds and its jitter.
		if took := time.Since(start); d != core.RefreshNow || err != nil || took > time.Minute+45*time.Second {
			t.Errorf("%v, %v after %v", d, err, took)
		}
	})
}

// The process that held the lease may have died after its save: the stored record counts,
// and at once.
func TestACallerThatMeetsAHeldLeaseLoadsTheRecordBeforeWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		seen := save(t, b, "stale")
		if _, err := b.Acquire(context.Background(), "k", time.Hour); err != nil {
			t.Fatal(err)
		}
		save(t, b, "fresh")
		start := time.Now()
		d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen})
		if d != core.RefreshedElsewhere || err != nil {
			t.Error(d, err)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("noticed after %v", took)
		}
	})
}

// Most waiters find the token that they waited for, and a lease costs two writes.
func TestAWaiterLoadsTheRecordBeforeItAsksForTheLeaseAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := newBackend()
		seen := save(t, shared, "stale")
		lease, err := shared.Acquire(context.Background(), "k", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		waiting := handle(shared.store)
		b := watched{waiting, func(context.Context, string, core.Version) error {
			save(t, shared, "fresh")
			return lease.Release(context.Background())
		}}
		d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen})
		if d != core.RefreshedElsewhere || err != nil {
			t.Error(d, err)
		}
		if loads, attempts := waiting.count("load"), waiting.count("acquire"); loads != 1 || attempts != 1 {
			t.Errorf("%d loads and %d attempts at the lease, want 1 and 1", loads, attempts)
		}
	})
}

// A caller that refreshes any version takes no other process's refresh for its own.
func TestAnyVersionWaitsForTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		save(t, b, "stale")
		lease, err := b.Acquire(context.Background(), "k", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(3*time.Second, func() { save(t, b, "fresh") })
		time.AfterFunc(5*time.Second, func() { _ = lease.Release(context.Background()) })
		start := time.Now()
		d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: core.AnyVersion})
		if took := time.Since(start); d != core.RefreshNow || err != nil || took < 5*time.Second || took > 7*time.Second {
			t.Errorf("%v, %v after %v", d, err, took)
		}
	})
}

// hanging up is the caller's, before one of the store's answers.
type hangingUp struct {
	*backend
	left int // answers
	hang context.CancelFunc
}

func (b *hangingUp) answer() {
	if b.left--; b.left == 0 {
		b.hang()
	}
}

func (b *hangingUp) Load(ctx context.Context, key string) (core.Record, error) {
	defer b.answer()
	return b.backend.Load(ctx, key)
}

func (b *hangingUp) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	defer b.answer()
	return b.backend.Acquire(ctx, key, ttl)
}

func (b *hangingUp) Wait(ctx context.Context, key string, _ core.Version) error {
	defer b.answer()
	return b.wait(ctx, key, "", func() (core.Version, error) { return "", ctx.Err() })
}

// The caller may leave at any step: nothing is refreshed, and no lease is kept.
func TestACallerMayLeaveAtAnyStep(t *testing.T) {
	const steps = 5 // acquire, wait, load, acquire, load
	for leave := 1; leave <= steps+1; leave++ {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			b := &hangingUp{newBackend(), leave, cancel}
			seen := save(t, b, "stale")
			if _, err := b.backend.Acquire(context.Background(), "k", 100*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			refreshed := false
			_, err := core.Coordinate(ctx, b, b, "k", core.RefreshRequest{Seen: seen, Refresh: func(context.Context, core.Record) error {
				refreshed = true
				return nil
			}})
			if all := leave > steps; refreshed != all || all != (err == nil) || !all && !errors.Is(err, context.Canceled) {
				t.Errorf("gone at step %d: refreshed %v, %v", leave, refreshed, err)
			}
			time.Sleep(time.Second) // the other's lease is over
			if _, err := b.backend.Acquire(context.Background(), "k", time.Minute); err != nil {
				t.Errorf("gone at step %d: %v", leave, err)
			}
		})
	}
}

func TestWithLeaserStoresHereAndCoordinatesThere(t *testing.T) {
	ctx := context.Background()
	storing, leasing := alone{backend: newBackend()}, newBackend()
	b := core.WithLeaser(storing, leasing)
	seen := save(t, b, "stale")
	d, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: seen, Refresh: func(ctx context.Context, rec core.Record) error {
		if _, err := leasing.Acquire(ctx, "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("the lease is not held there: %v", err)
		}
		_, err := b.Save(ctx, "k", core.Record{Data: []byte("fresh"), Version: rec.Version})
		return err
	}})
	if d != core.RefreshedHere || err != nil {
		t.Error(d, err)
	}
	if leasing.count("save") != 0 || storing.count("save") != 2 {
		t.Error("saved in the wrong place")
	}
	if l, ok := core.As[core.Leaser](b); !ok || l == core.Leaser(storing) {
		t.Error("the leaser found is not the one given")
	}
	if _, ok := core.As[core.Lister](b); ok {
		t.Error("a capability nobody has was found")
	}
	if got, ok := core.As[alone](b); !ok || got != storing {
		t.Error("the wrapped backend is not found")
	}
	hidden := core.WithLeaser(watched{backend: newBackend()}, leasing)
	for what, b := range map[string]core.TokenBackend{"": hidden, ", twice": core.WithLeaser(hidden, newBackend()), ", in a wrapper": wrapped{hidden}} {
		if _, ok := core.As[core.Watcher](b); ok {
			t.Errorf("a watcher that knows nothing of these leases was found%s", what)
		}
	}
}

type wrapped struct{ core.TokenBackend }

func (w wrapped) Unwrap() core.TokenBackend { return w.TokenBackend }

// The outermost leases count, and no others are taken.
func TestOfNestedLeasersTheOuterLeasesCount(t *testing.T) {
	inner, outer := newBackend(), newBackend()
	b := core.WithLeaser(core.WithLeaser(alone{backend: newBackend()}, inner), outer)
	if d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: core.Absent}); d != core.RefreshNow || err != nil {
		t.Error(d, err)
	}
	if inner.count("acquire") != 0 || outer.count("acquire") != 1 {
		t.Errorf("%d leases taken of the inner, %d of the outer", inner.count("acquire"), outer.count("acquire"))
	}
}

// Each time that a refresh fails, another waiter is quicker to the lease. This
// one goes on to be woken, for a while.
func TestAWaiterWokenByTheLeaserGoesOnWhenOthersAreQuicker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		storing, leasing := newBackend(), newBackend()
		hold := func(d time.Duration, then func()) {
			lease, err := leasing.leases.Acquire(ctx, "k", time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(d, func() {
				then()
				_ = lease.Release(ctx)
			})
		}
		var b core.TokenBackend
		quicker := []func(){
			func() { hold(5*time.Second, func() {}) },
			func() { hold(20*time.Second, func() { save(t, b, "fresh") }) },
		}
		b = core.WithLeaser(alone{backend: storing}, watched{leasing, func(ctx context.Context, key string, _ core.Version) error {
			err := leasing.wait(ctx, key, "", func() (core.Version, error) { return "", nil })
			if err == nil && len(quicker) > 0 {
				quicker[0]()
				quicker = quicker[1:]
			}
			return err
		}})
		seen := save(t, b, "stale")
		hold(5*time.Second, func() {})
		d, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{Seen: seen})
		if d != core.RefreshedElsewhere || err != nil {
			t.Error(d, err)
		}
		if n := storing.count("load"); n > 15 {
			t.Errorf("%d loads while waiting 30 s", n)
		}
	})
}

// Leases in a store that wakes its waiters save calls of the other store, which may charge
// for each call, or refuse clients that call too often.
func TestWaitersAreWokenByTheLeaser(t *testing.T) {
	for _, c := range []struct {
		what     string
		records  bool // the leaser has one of the same name
		loads    int
		slowness time.Duration
	}{
		{"one that leases alone", false, 8, 50 * time.Millisecond},
		{"one that keeps records too", true, 40, 2 * time.Second},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				storing, leasing := newBackend(), newBackend()
				if c.records {
					save(t, leasing, "another's")
				}
				b := core.WithLeaser(alone{backend: storing}, watched{leasing, func(ctx context.Context, key string, seen core.Version) error {
					return leasing.wait(ctx, key, seen, func() (core.Version, error) {
						if found, err := leasing.Check(ctx, key); found == (seen != core.Absent) || err != nil {
							return seen, err
						}
						return "another", nil
					})
				}})
				seen := save(t, b, "stale")
				lease, err := leasing.Acquire(context.Background(), "k", time.Hour)
				if err != nil {
					t.Fatal(err)
				}
				go func() {
					time.Sleep(20 * time.Second)
					save(t, b, "fresh")
					_ = lease.Release(context.Background())
				}()
				start := time.Now()
				d, err := b.ShouldRefresh(context.Background(), "k", core.RefreshRequest{Seen: seen})
				if d != core.RefreshedElsewhere || err != nil {
					t.Error(d, err)
				}
				if took := time.Since(start); took > 20*time.Second+c.slowness {
					t.Errorf("noticed after %v", took)
				}
				if n := storing.count("load"); n > c.loads {
					t.Errorf("%d loads while waiting 20 s", n)
				}
			})
		})
	}
}

package core_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The tests in this file are of many records that are busy at once.

func query(user string) tokencache.Query {
	return tokencache.Query{HomeAccountID: home(user), ClientID: clientID, Scopes: []string{"User.Read"}}
}

// crowd signs n users in, each in a record of their own, and lets their tokens expire.
func crowd(t *testing.T, p *idp, b core.TokenBackend, n int) (users []string) {
	t.Helper()
	s := core.NewStore(b)
	for i := range n {
		user := fmt.Sprint("u", i)
		users = append(users, user)
		p.signIn(t, s, user, user)
	}
	time.Sleep(2 * time.Hour)
	return users
}

func TestAttemptsUnderWayAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		users := crowd(t, p, b, 1000)
		s := core.NewStore(handle(b.store))
		var now, most atomic.Int64
		var all sync.WaitGroup
		for _, user := range users {
			all.Go(func() {
				mustToken(t, s.TokenSource(user, query(user), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
					for n := now.Add(1); ; {
						if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
							break
						}
					}
					defer now.Add(-1)
					time.Sleep(100 * time.Millisecond)
					return p.refresh(ctx, c, r)
				}))
			})
		}
		all.Wait()
		if most.Load() > 256 || p.count() != 1000 {
			t.Errorf("%d at once, %d refreshes", most.Load(), p.count())
		}
	})
}

// A provider that hangs for some users, however many, doesn't stop the others.
func TestAttemptsThatHangDoNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		users := crowd(t, p, b, 700)
		s := core.NewStore(handle(b.store))
		ctx, cancel := context.WithCancel(t.Context())
		var hung sync.WaitGroup
		for _, user := range users[:600] {
			hung.Go(func() {
				_, _ = s.TokenSource(user, query(user), func(ctx context.Context, _ *tokencache.Cache, _ core.Refresh) error {
					<-ctx.Done()
					return ctx.Err()
				}).Token(ctx)
			})
		}
		synctest.Wait()
		began := time.Now()
		var all sync.WaitGroup
		for _, user := range users[600:] {
			all.Go(func() { mustToken(t, s.TokenSource(user, query(user), p.refresh)) })
		}
		all.Wait()
		if waited := time.Since(began); waited > 4*time.Second {
			t.Errorf("the others waited %v", waited)
		}
		cancel()
		hung.Wait()
		if err := s.Flush(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// located is one of several backends on one store, as a program may make them.
type located struct{ *backend }

func (b located) Place() any { return b.store }

func (b located) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

func TestStoresOfOneProcessAskForARecordOnce(t *testing.T) {
	for name, open := range map[string]func(*store) *backend{
		"on one backend":               nil,
		"on several of the same place": handle,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, shared := newIDP(), newBackend()
				p.signIn(t, core.NewStore(shared), "k", "ana")
				time.Sleep(2 * time.Hour)
				before := shared.count("load")
				backends := []*backend{shared}
				var all sync.WaitGroup
				for range 8 {
					s := core.NewStore(shared)
					if open != nil {
						b := open(shared.store)
						backends = append(backends, b)
						s = core.NewStore(located{b})
					}
					all.Go(func() { mustToken(t, s.TokenSource("k", ana(), slowly(p))) })
					time.Sleep(time.Millisecond)
				}
				all.Wait()
				calls := -before
				for _, b := range backends {
					calls += b.count("load") + b.count("acquire")
				}
				if p.count() != 1 || calls != 3 {
					t.Errorf("%d refreshes, and %d loads and leases for one: want a load before the lease, the lease, and a load under it", p.count(), calls)
				}
			})
		})
	}
}

// What a waiter is handed is no older than its question.
func TestAWaiterGetsNoRecordOlderThanItsRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		p.signIn(t, core.NewStore(b), "k", "ana")
		time.Sleep(2 * time.Hour)
		other := core.NewStore(handle(b.store)) // another process
		failing, s := core.NewStore(b, calm()), core.NewStore(b, calm())
		loaded := make(chan struct{})
		var all sync.WaitGroup
		all.Go(func() { // it has loaded the record, and its refresh fails
			_, _ = failing.TokenSource("k", ana(), func(context.Context, *tokencache.Cache, core.Refresh) error {
				close(loaded)
				time.Sleep(time.Second)
				return errOutage
			}).Token(t.Context())
		})
		<-loaded
		time.Sleep(time.Millisecond)
		p.signIn(t, other, "k", "ana")
		time.Sleep(time.Millisecond)
		all.Go(func() {
			if got := mustToken(t, s.TokenSource("k", ana(), p.refresh)); got != "at-ana-in2" {
				t.Errorf("got %q", got)
			}
		})
		all.Wait()
		if p.count() != 0 {
			t.Errorf("%d refreshes", p.count())
		}
	})
}

// Another store's save serves a caller whose attempt has no place yet.
func TestACallerWhoWaitsForAPlaceIsServedByAnotherStoresSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		users := crowd(t, p, b, 300)
		full, other := core.NewStore(located{b}), core.NewStore(located{handle(b.store)})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for _, user := range users[:299] {
			all.Go(func() {
				_, _ = full.TokenSource(user, query(user), func(ctx context.Context, _ *tokencache.Cache, _ core.Refresh) error {
					<-ctx.Done()
					return ctx.Err()
				}).Token(ctx)
			})
		}
		synctest.Wait()
		last := users[299]
		loads, served := b.count("load"), make(chan struct{})
		go func() {
			defer close(served)
			mustToken(t, full.TokenSource(last, query(last), p.refresh))
		}()
		synctest.Wait()
		began := time.Now()
		mustToken(t, other.TokenSource(last, query(last), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
			time.Sleep(100 * time.Millisecond)
			return p.refresh(ctx, c, r)
		}))
		<-served
		if waited := time.Since(began); waited >= time.Second || b.count("load") != loads || p.count() != 1 {
			t.Errorf("it waited %v, its store loaded %d times, %d refreshes", waited, b.count("load")-loads, p.count())
		}
		cancel()
		all.Wait()
		if err := full.Flush(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// In whatever order stores of one process are asked for many users, each record is
// loaded as often as for one caller.
func TestStoresThatAreAskedInOtherOrdersLoadARecordOnceTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		users := crowd(t, p, b, 1000)
		backends := []*backend{b, handle(b.store)}
		before := b.count("load")
		var all sync.WaitGroup
		for i, handle := range backends {
			s := core.NewStore(located{handle})
			for n := range users {
				user := users[n]
				if i == 1 {
					user = users[len(users)-1-n]
				}
				all.Go(func() { mustToken(t, s.TokenSource(user, query(user), slowly(p))) })
			}
		}
		all.Wait()
		loads := backends[0].count("load") + backends[1].count("load") - before
		if p.count() != len(users) || loads > 2*len(users) {
			t.Errorf("%d refreshes and %d loads for %d users: want a load before the lease and one under it", p.count(), loads, len(users))
		}
	})
}

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

// The requests reach their time-outs one after the other, so that some attempt always ends.
func TestAttemptsThatHangAtDifferentTimesDoNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hanging = 600
		p, b := newIDP(), newBackend()
		users := crowd(t, p, b, hanging+10)
		s := core.NewStore(handle(b.store))
		ctx, cancel := context.WithCancel(t.Context())
		var hung sync.WaitGroup
		for i, user := range users[:hanging] {
			hung.Go(func() {
				time.Sleep(time.Duration(i) * core.DefaultRefreshTimeout / 256)
				for ctx.Err() == nil {
					_, _ = s.TokenSource(user, query(user), func(ctx context.Context, _ *tokencache.Cache, _ core.Refresh) error {
						<-ctx.Done()
						return ctx.Err()
					}).Refresh(ctx)
				}
			})
		}
		time.Sleep(2 * time.Minute)
		for _, user := range users[hanging:] {
			began := time.Now()
			mustToken(t, s.TokenSource(user, query(user), p.refresh))
			if waited := time.Since(began); waited > 4*time.Second {
				t.Errorf("%s waited %v", user, waited)
			}
		}
		cancel()
		hung.Wait()
		if err := s.Flush(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// slow is a backend that needs time for each question, and counts those under way. Loads
// of the keys in hangs get no answer.
type slow struct {
	*backend
	hangs     map[string]bool
	now, most atomic.Int64
}

func (b *slow) begin() (end func()) {
	now := b.now.Add(1)
	for most := b.most.Load(); now > most && !b.most.CompareAndSwap(most, now); most = b.most.Load() {
	}
	time.Sleep(10 * time.Millisecond)
	return func() { b.now.Add(-1) }
}

func (b *slow) Load(ctx context.Context, key string) (core.Record, error) {
	defer b.begin()()
	if b.hangs[key] {
		<-ctx.Done()
		return core.Record{}, ctx.Err()
	}
	return b.backend.Load(ctx, key)
}

func (b *slow) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	defer b.begin()()
	return b.backend.Acquire(ctx, key, ttl)
}

func (b *slow) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

func TestFewRefreshesAskAStoreAtOnceBeforeTheirRequestToTheProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), &slow{backend: newBackend()}
		users := crowd(t, p, b.backend, 1000)
		s := core.NewStore(b)
		var all sync.WaitGroup
		for _, user := range users {
			all.Go(func() { mustToken(t, s.TokenSource(user, query(user), slowly(p))) })
		}
		all.Wait()
		if most := b.most.Load(); most > 64 || p.count() != 1000 {
			t.Errorf("%d at once, %d refreshes", most, p.count())
		}
	})
}

// A store that doesn't answer for some records, and another process that refreshes some,
// don't keep the other records' tokens from being refreshed.
func TestRefreshesThatWaitDoNotKeepOthersFromTheStore(t *testing.T) {
	for name, test := range map[string]struct {
		wait  func(t *testing.T, b *slow, user string)
		bound time.Duration // until another user has a token
	}{
		"for the store's answer": {func(_ *testing.T, b *slow, user string) { b.hangs[user] = true }, 1100 * time.Millisecond},
		"for another process": {func(t *testing.T, b *slow, user string) {
			if _, err := b.backend.Acquire(t.Context(), user, time.Hour); err != nil {
				t.Fatal(err)
			}
		}, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b := newIDP(), &slow{backend: newBackend(), hangs: make(map[string]bool)}
				users := crowd(t, p, b.backend, 101)
				s := core.NewStore(b)
				ctx, cancel := context.WithCancel(t.Context())
				var waiting sync.WaitGroup
				for _, user := range users[:100] {
					test.wait(t, b, user)
				}
				for _, user := range users[:100] {
					waiting.Go(func() { _, _ = s.TokenSource(user, query(user), p.refresh).Token(ctx) })
				}
				synctest.Wait()
				began := time.Now()
				mustToken(t, s.TokenSource(users[100], query(users[100]), p.refresh))
				if waited := time.Since(began); waited > test.bound {
					t.Errorf("the token came after %v", waited)
				}
				cancel()
				waiting.Wait()
				if err := s.Flush(context.Background()); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second) // questions under way end
			})
		})
	}
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

// A waiter gets no record that is older than its question.
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

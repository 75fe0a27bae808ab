package core_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The tests in this file are of the turns in which refreshes ask a store.

// turns is how many refreshes ask a store at once.
const turns = 64

func TestARefreshGivesItsTurnAtTheStoreBackHoweverItEnds(t *testing.T) {
	fails := func(end func() error) func(*awkward, *idp) {
		return func(_ *awkward, p *idp) { p.set(func(p *idp) { p.before = end }) }
	}
	for name, c := range map[string]struct {
		fault  func(*awkward, *idp)
		open   func(*awkward) core.TokenBackend // nil: the backend itself
		leaves bool                             // the caller, after a second
	}{
		"with a token":                       {},
		"with an error of the function":      {fault: fails(func() error { return errOutage })},
		"with ErrNotNeeded":                  {fault: fails(func() error { return core.ErrNotNeeded })},
		"with ErrReauthRequired":             {fault: fails(func() error { return core.ErrReauthRequired })},
		"with a panic of the function":       {fault: fails(func() error { panic("oh") })},
		"with the function's goroutine":      {fault: fails(func() error { runtime.Goexit(); return nil })},
		"before the function, which hangs":   {fault: fails(func() error { time.Sleep(time.Hour); return nil })},
		"with tokens that can't be saved":    {fault: func(b *awkward, _ *idp) { b.fail("save", errOutage) }},
		"with a store that can't be read":    {fault: func(b *awkward, _ *idp) { b.fail("load", errOutage) }},
		"with a store that grants no leases": {fault: func(b *awkward, _ *idp) { b.fail("acquire", errOutage) }},
		"with the goroutine that asks the store": {fault: func(b *awkward, _ *idp) {
			b.load = func(context.Context, string) (core.Record, error) { runtime.Goexit(); return core.Record{}, nil }
		}},
		"with leases that are lost each time": {fault: func(b *awkward, _ *idp) {
			b.acquire = func(context.Context) error { time.Sleep(25 * time.Second); return nil }
		}},
		"with the caller, while the store is asked": {leaves: true, fault: func(b *awkward, _ *idp) {
			b.acquire = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		}},
		"with the caller, while another process refreshes": {leaves: true, fault: func(b *awkward, _ *idp) {
			b.acquire = func(context.Context) error { return core.ErrLeaseHeld }
		}},
		"in a store without coordination":                   {open: func(b *awkward) core.TokenBackend { return &alone{backend: b.backend} }},
		"in a store with another store's leases":            {open: func(b *awkward) core.TokenBackend { return core.WithLeaser(&alone{backend: b.backend}, newBackend()) }},
		"in a store with another store's leases, lost each": {open: func(b *awkward) core.TokenBackend { return core.WithLeaser(&alone{backend: b.backend}, losing{}) }},
	} {
		for by, ask := range map[string]func(context.Context, *core.Store, string, *idp) error{
			"Token": func(ctx context.Context, s *core.Store, user string, p *idp) error {
				_, err := s.TokenSource(user, query(user), p.refresh).Token(ctx)
				return err
			},
			"Refresh": func(ctx context.Context, s *core.Store, user string, p *idp) error {
				_, _, err := s.Refresh(ctx, user, core.AnyVersion, func(ctx context.Context, c *tokencache.Cache) error {
					return p.refresh(ctx, c, core.Refresh{Query: query(user)})
				})
				return err
			},
		} {
			t.Run(name+", by "+by, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, b := newIDP(), &awkward{backend: newBackend()}
					users := crowd(t, p, b.backend, turns+1)
					open := func(b *awkward) *core.Store {
						opened := core.TokenBackend(b)
						if c.open != nil {
							opened = c.open(b)
						}
						return core.NewStore(placed{opened, b.store}, core.WithLeaseTTL(30*time.Second))
					}
					s, healthy := open(b), open(&awkward{backend: handle(b.store)})
					if c.fault != nil {
						c.fault(b, p)
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if c.leaves {
						time.AfterFunc(time.Second, cancel)
					}
					var all sync.WaitGroup
					for _, user := range users[:turns] {
						all.Go(func() { _ = ask(ctx, s, user, p) })
					}
					all.Wait()
					p.set(func(p *idp) { p.before = nil })
					began := time.Now()
					if err := ask(t.Context(), healthy, users[turns], p); err != nil {
						t.Error(err)
					}
					if waited := time.Since(began); waited > 100*time.Millisecond {
						t.Errorf("the next refresh waited %v for a turn", waited)
					}
					cancel()
					_ = s.Flush(context.Background()) // it waits for refreshes that go on
					time.Sleep(2 * time.Hour)         // functions that hang end
				})
			})
		}
	}
}

// placed is a backend at the place of all backends of a store.
type placed struct {
	core.TokenBackend
	at *store
}

func (b placed) Place() any { return b.at }

// A refresh function may need other tokens of the same store. Then as many refreshes as
// have a turn may wait for refreshes that need one.
func TestRefreshFunctionsMayAskTheSameStoreForOtherTokens(t *testing.T) {
	for name, ask := range map[string]func(ctx context.Context, t *testing.T, s *core.Store, user string, p *idp){
		"with Token": func(_ context.Context, t *testing.T, s *core.Store, user string, p *idp) {
			mustToken(t, s.TokenSource(user, query(user), p.refresh))
		},
		"with Refresh": func(ctx context.Context, t *testing.T, s *core.Store, user string, p *idp) {
			if _, _, err := s.Refresh(ctx, user, core.AnyVersion, func(ctx context.Context, c *tokencache.Cache) error {
				return p.refresh(ctx, c, core.Refresh{Query: query(user)})
			}); err != nil {
				t.Error(err)
			}
		},
		"with Update": func(ctx context.Context, t *testing.T, s *core.Store, user string, _ *idp) {
			if err := s.Update(ctx, user, func(*tokencache.Cache) error { return nil }); err != nil {
				t.Error(err)
			}
		},
	} {
		for where, another := range map[string]bool{"the same Store": false, "another Store": true} {
			t.Run(name+" of "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, b := newIDP(), &slow{backend: newBackend()}
					users := crowd(t, p, b.backend, 4*turns)
					s := core.NewStore(b)
					inner := s
					if another {
						inner = core.NewStore(b)
					}
					began := time.Now()
					var all sync.WaitGroup
					for i, user := range users[:2*turns] {
						all.Go(func() {
							mustToken(t, s.TokenSource(user, query(user), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
								time.Sleep(100 * time.Millisecond) // until as many as have a turn are here
								ask(ctx, t, inner, users[2*turns+i], p)
								return p.refresh(ctx, c, r)
							}))
						})
					}
					all.Wait()
					if took := time.Since(began); took >= time.Second {
						t.Errorf("the refreshes waited for each other: they took %v", took)
					}
				})
			})
		}
	}
}

func TestFewRefreshesByRefreshAskAStoreAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), &slow{backend: newBackend()}
		users := crowd(t, p, b.backend, 10*turns)
		s := core.NewStore(b)
		var all sync.WaitGroup
		for _, user := range users {
			all.Go(func() {
				if _, _, err := s.Refresh(t.Context(), user, core.AnyVersion, func(ctx context.Context, c *tokencache.Cache) error {
					time.Sleep(time.Second)
					return p.refresh(ctx, c, core.Refresh{Query: query(user)})
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most := b.most.Load(); most > turns || p.count() != len(users) {
			t.Errorf("%d at once, %d refreshes", most, p.count())
		}
	})
}

func TestAStoreThatDoesNotAnswerTakesNoTurnsOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, hung, sound := newIDP(), &slow{backend: newBackend(), hangs: make(map[string]bool)}, newBackend()
		users := crowd(t, p, hung.backend, turns)
		last := crowd(t, p, sound, 1)[0]
		for _, user := range users {
			hung.hangs[user] = true
		}
		ctx, cancel := context.WithCancel(t.Context())
		var waiting sync.WaitGroup
		s := core.NewStore(hung)
		for _, user := range users {
			waiting.Go(func() { _, _ = s.TokenSource(user, query(user), p.refresh).Token(ctx) })
		}
		synctest.Wait()
		began := time.Now()
		mustToken(t, core.NewStore(sound).TokenSource(last, query(last), p.refresh))
		if waited := time.Since(began); waited > 100*time.Millisecond {
			t.Errorf("the token came after %v", waited)
		}
		cancel()
		waiting.Wait()
		time.Sleep(time.Second) // questions under way end
	})
}

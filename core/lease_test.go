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
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The tests in this file are of holders that freeze, hang, or can't renew.

// awkward is a backend whose operations a test replaces.
type awkward struct {
	*backend
	load    func(ctx context.Context, key string) (core.Record, error)
	save    func(ctx context.Context, key string, rec core.Record) (core.Version, error)
	acquire func(ctx context.Context) error
	renew   func(ctx context.Context, ttl time.Duration, l core.Lease) error
	release func(ctx context.Context, l core.Lease) error
}

func (b *awkward) Load(ctx context.Context, key string) (core.Record, error) {
	if b.load != nil {
		return b.load(ctx, key)
	}
	return b.backend.Load(ctx, key)
}

func (b *awkward) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if b.save != nil {
		return b.save(ctx, key, rec)
	}
	return b.backend.Save(ctx, key, rec)
}

func (b *awkward) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	if b.acquire != nil {
		if err := b.acquire(ctx); err != nil {
			return nil, err
		}
	}
	l, err := b.backend.Acquire(ctx, key, ttl)
	if err != nil {
		return nil, err
	}
	return awkwardLease{l, b}, nil
}

func (b *awkward) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

type awkwardLease struct {
	core.Lease
	b *awkward
}

func (l awkwardLease) Renew(ctx context.Context, ttl time.Duration) error {
	if l.b.renew != nil {
		return l.b.renew(ctx, ttl, l.Lease)
	}
	return l.Lease.Renew(ctx, ttl)
}

func (l awkwardLease) Release(ctx context.Context) error {
	if l.b.release != nil {
		return l.b.release(ctx, l.Lease)
	}
	return l.Lease.Release(ctx)
}

// A holder that is frozen before it asks the provider must not spend the refresh
// token when it wakes: another process has done so.
func TestALeaseLostBeforeTheRequestMeansNoRequest(t *testing.T) {
	frozen := func(context.Context, time.Duration, core.Lease) error { return errOutage } // it renews nothing
	for name, freeze := range map[string]func(b *awkward) core.RefreshFunc{
		"frozen while it reads the record": func(b *awkward) core.RefreshFunc {
			var loads atomic.Int32
			b.load = func(ctx context.Context, key string) (core.Record, error) {
				rec, err := b.backend.Load(ctx, key)
				if loads.Add(1) == 2 { // the one under the lease
					time.Sleep(time.Minute)
				}
				return rec, err
			}
			return nil
		},
		"frozen in the refresh function": func(b *awkward) core.RefreshFunc {
			return func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
				time.Sleep(50 * time.Second) // less than the refresh timeout in the other, more than the lease
				if !r.LeaseHeld() {
					return core.ErrLeaseLost
				}
				return errors.New("sent under a lost lease")
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b := newIDP(), newBackend()
				p.signIn(t, core.NewStore(b), "k", "ana")
				time.Sleep(2 * time.Hour)
				slow := &awkward{backend: handle(b.store), renew: frozen}
				refresh := freeze(slow)
				if refresh == nil {
					refresh = p.refresh
				}
				holder := core.NewStore(slow, calm(), core.WithRefreshTimeout(time.Minute))
				other := core.NewStore(handle(b.store), calm())
				var wg sync.WaitGroup
				wg.Go(func() {
					if got := mustToken(t, holder.TokenSource("k", ana(), refresh)); got != "at-ana-1" {
						t.Errorf("the holder got %q", got)
					}
				})
				wg.Go(func() {
					time.Sleep(time.Second)
					if got := mustToken(t, other.TokenSource("k", ana(), p.refresh)); got != "at-ana-1" {
						t.Errorf("the other got %q", got)
					}
				})
				wg.Wait()
				if p.count() != 1 || p.current["ana"] == "revoked" {
					t.Errorf("%d refreshes; the good refresh token is %q", p.count(), p.current["ana"])
				}
			})
		})
	}
}

func TestACallerWhoLeavesAfterALostLeaseIsNobodyElsesFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		p.signIn(t, core.NewStore(b), "k", "ana")
		time.Sleep(2 * time.Hour)
		slow := &awkward{backend: b, renew: func(context.Context, time.Duration, core.Lease) error { return errOutage }}
		s := core.NewStore(slow, core.WithLeaseTTL(3*time.Second))
		var theirs core.Lease
		ts := s.TokenSource("k", ana(), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
			if theirs == nil { // frozen, and another process takes the lease
				time.Sleep(10 * time.Second)
				var err error
				if theirs, err = handle(b.store).Acquire(t.Context(), "k", time.Minute); err != nil {
					t.Error(err)
				}
			}
			if !r.LeaseHeld() {
				return core.ErrLeaseLost
			}
			return p.refresh(ctx, c, r)
		})
		leaves, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := ts.Token(leaves); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = theirs.Release(t.Context())
		if got := mustToken(t, ts); got != "at-ana-1" {
			t.Errorf("the next caller got %q", got)
		}
	})
}

func TestAStoreSlowerThanItsLeasesIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		p.signIn(t, core.NewStore(b), "k", "ana")
		time.Sleep(2 * time.Hour)
		slow := &awkward{backend: b}
		slow.load = func(ctx context.Context, key string) (core.Record, error) {
			time.Sleep(2 * time.Second)
			return b.Load(ctx, key)
		}
		slow.renew = func(ctx context.Context, _ time.Duration, _ core.Lease) error {
			<-ctx.Done()
			return ctx.Err()
		}
		_, err := core.NewStore(slow, core.WithLeaseTTL(time.Second)).TokenSource("k", ana(), p.refresh).Token(t.Context())
		if !errors.Is(err, core.ErrLeaseLost) || p.count() != 0 {
			t.Errorf("%v after %d requests", err, p.count())
		}
	})
}

func TestOneRenewalThatHangsDoesNotLoseTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		p.signIn(t, core.NewStore(b), "k", "ana")
		time.Sleep(2 * time.Hour)
		const ttl = 15 * time.Second
		renewals := 0
		hanging := &awkward{backend: handle(b.store)}
		hanging.renew = func(ctx context.Context, ttl time.Duration, l core.Lease) error {
			if renewals++; renewals == 1 { // a driver whose packets are dropped, without a time-out of its own
				<-ctx.Done()
				return ctx.Err()
			}
			return l.Renew(ctx, ttl)
		}
		holder := core.NewStore(hanging, calm(), core.WithLeaseTTL(ttl))
		other := core.NewStore(handle(b.store), calm(), core.WithLeaseTTL(ttl))
		var wg sync.WaitGroup
		wg.Go(func() {
			mustToken(t, holder.TokenSource("k", ana(), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
				time.Sleep(25 * time.Second)
				return p.refresh(ctx, c, r)
			}))
		})
		wg.Go(func() {
			time.Sleep(time.Second)
			mustToken(t, other.TokenSource("k", ana(), p.refresh))
		})
		wg.Wait()
		if p.count() != 1 {
			t.Errorf("%d refreshes", p.count())
		}
	})
}

func TestARefreshFunctionThatHangsFreesTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		p.signIn(t, core.NewStore(b), "k", "ana")
		time.Sleep(2 * time.Hour)
		answer := make(chan struct{})
		hung, other := core.NewStore(handle(b.store), calm()), core.NewStore(handle(b.store), calm())
		_, err := hung.TokenSource("k", ana(), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
			<-answer
			p.mu.Lock()
			defer p.mu.Unlock()
			return c.Put(p.issue("ana", "late"))
		}).Token(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the caller was told %v", err)
		}
		began := time.Now()
		mustToken(t, other.TokenSource("k", ana(), p.refresh))
		if waited := time.Since(began); waited > time.Minute {
			t.Errorf("another process waited %v", waited)
		}
		// The provider's answer, which comes in the end, is not lost.
		time.Sleep(time.Second)
		close(answer)
		time.Sleep(time.Second)
		c, _, err := other.Load(t.Context(), "k")
		if rt, _ := c.RefreshToken(ana()); err != nil || rt.Secret != "rt-ana-late" {
			t.Errorf("stored is %q, %v", rt.Secret.Reveal(), err)
		}
	})
}

// A Refresh that hangs, of a program that calls ShouldRefresh by itself.
func TestALeaseIsNotRenewedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		hang := make(chan struct{})
		go func() {
			_, _ = b.ShouldRefresh(t.Context(), "k", core.RefreshRequest{LeaseTTL: time.Second, Timeout: time.Minute, Refresh: func(context.Context, core.Record) error {
				<-hang
				return errOutage
			}})
		}()
		time.Sleep(59 * time.Second)
		if _, err := b.Acquire(t.Context(), "k", time.Second); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("within its time: %v", err)
		}
		time.Sleep(3 * time.Second)
		if _, err := b.Acquire(t.Context(), "k", time.Second); err != nil {
			t.Errorf("after its time: %v", err)
		}
		close(hang)
		synctest.Wait()
	})
}

func TestATTLThatMakesNoSenseIsTheDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ttl := range []time.Duration{0, -time.Second} {
			p, renewals := newIDP(), 0
			b := &awkward{backend: newBackend()}
			b.renew = func(ctx context.Context, ttl time.Duration, l core.Lease) error {
				if renewals++; ttl != core.DefaultLeaseTTL {
					t.Errorf("renewed for %v", ttl)
				}
				return l.Renew(ctx, ttl)
			}
			s := core.NewStore(b, calm(), core.WithLeaseTTL(ttl))
			p.signIn(t, s, "k", "ana")
			if _, err := s.TokenSource("k", ana(), slowly(p)).Refresh(t.Context()); err != nil {
				t.Error(err)
			}
			_, err := b.ShouldRefresh(t.Context(), "k", core.RefreshRequest{Seen: core.AnyVersion, LeaseTTL: ttl, Refresh: func(context.Context, core.Record) error {
				time.Sleep(20 * time.Second)
				return core.ErrNotNeeded
			}})
			if err != nil || renewals != 1 {
				t.Errorf("a ttl of %v: %d renewals in 21 s, %v", ttl, renewals, err)
			}
		}
	})
}

// An attacker who asks for keys that don't exist must not cost the store much.
func TestAStoreThatTakesNoNoticeOfItsContextKeepsNoTokenFromTheCaller(t *testing.T) {
	hang := make(chan struct{})
	for what, set := range map[string]func(*awkward){
		"renew": func(a *awkward) {
			a.renew = func(context.Context, time.Duration, core.Lease) error { <-hang; return nil }
		},
		"release": func(a *awkward) { a.release = func(context.Context, core.Lease) error { <-hang; return nil } },
		"save": func(a *awkward) {
			a.save = func(context.Context, string, core.Record) (core.Version, error) { <-hang; return "", errOutage }
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hang = make(chan struct{})
				p, b := newIDP(), newBackend()
				p.signIn(t, core.NewStore(b), "k", "ana")
				time.Sleep(2 * time.Hour)
				slow := &awkward{backend: b}
				set(slow)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				at, err := core.NewStore(slow).TokenSource("k", ana(), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
					time.Sleep(20 * time.Second) // the lease is renewed meanwhile
					return p.refresh(ctx, c, r)
				}).Token(ctx)
				if err != nil || at.Secret != "at-ana-1" {
					t.Errorf("Token = %q, %v", at.Secret.Reveal(), err)
				}
				close(hang)
			})
		})
	}
}

func TestAnAcquisitionThatHangsIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		p.signIn(t, core.NewStore(b), "k", "ana")
		time.Sleep(2 * time.Hour)
		slow := &awkward{backend: b, acquire: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
		begin := time.Now()
		_, err := core.NewStore(slow).TokenSource("k", ana(), p.refresh).Token(t.Context())
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > time.Minute {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestAnUnknownUserOfARecordCostsOneLoad(t *testing.T) {
	p, b := newIDP(), newBackend()
	p.signIn(t, core.NewStore(b), "k", "ana")
	loads := b.count("load")
	_, err := core.NewStore(b).TokenSource("k", bo(), func(context.Context, *tokencache.Cache, core.Refresh) error { return core.ErrReauthRequired }).Token(t.Context())
	if !errors.Is(err, core.ErrReauthRequired) || b.count("load") != loads+1 || b.count("acquire") != 0 {
		t.Errorf("%v after %d loads and %d leases", err, b.count("load")-loads, b.count("acquire"))
	}
}

func TestAnUnknownKeyCostsOneLoad(t *testing.T) {
	p, b := newIDP(), newBackend()
	s := core.NewStore(b)
	for what, f := range map[string]core.RefreshFunc{"a refresh function": p.refresh, "none": nil} {
		before := b.count("load")
		if _, err := s.TokenSource("unknown to "+what, ana(), f).Token(t.Context()); !errors.Is(err, core.ErrReauthRequired) {
			t.Error(err)
		}
		if loads := b.count("load") - before; loads != 1 || b.count("acquire") != 0 || b.count("save") != 0 {
			t.Errorf("%s: %d loads, %d leases, %d saves", what, loads, b.count("acquire"), b.count("save"))
		}
	}
}

// A function that obtains a user's token without a refresh token (a password, a
// credential of another library) does so under the lease, once for all.
func TestAFirstTokenOfAUserIsObtainedUnderTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		var asked atomic.Int32
		obtain := func(_ context.Context, c *tokencache.Cache, r core.Refresh) error {
			time.Sleep(time.Second)
			if !r.LeaseHeld() {
				return core.ErrLeaseLost
			}
			asked.Add(1)
			return c.Put(p.signInResponse("ana"))
		}
		var wg sync.WaitGroup
		for range 8 {
			s := core.NewStore(handle(b.store))
			wg.Go(func() { mustToken(t, s.TokenSource("k", ana(), obtain)) })
		}
		wg.Wait()
		if n := asked.Load(); n != 1 {
			t.Errorf("%d sign-ins", n)
		}
	})
}

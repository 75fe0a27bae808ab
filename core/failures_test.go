package core_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The tests in this file are of refresh functions that don't do what they
// should, and of stores that fail at an awkward moment.

func TestOneUsersMissingTokenIsNotAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend())
		p.signIn(t, s, "k", "ana", "bo")
		time.Sleep(61 * time.Minute)
		mail := ana()
		mail.Scopes = []string{"Mail.Read"} // which the provider doesn't give
		for range 10 {
			if at, err := s.TokenSource("k", mail, p.refresh).Token(context.Background()); err == nil {
				t.Errorf("got %q", at.Secret.Reveal())
			}
		}
		if p.count() != 1 {
			t.Errorf("%d requests at once for a token that isn't given", p.count())
		}
		mustToken(t, s.TokenSource("k", bo(), p.refresh))
	})
}

// An application has no account, so the error can't say that a user has signed out.
func TestAnApplicationHearsThatItsTokensWereRemovedDuringARefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackend()
		app := tokencache.Query{ClientID: clientID, App: true}
		source := core.NewStore(b).TokenSource("k", app, func(_ context.Context, c *tokencache.Cache, _ core.Refresh) error {
			return c.Put(tokencache.TokenResponse{AccessToken: "app", ExpiresIn: 3600, Scope: "x/.default", ClientID: clientID, GrantType: "client_credentials"})
		})
		mustToken(t, source)
		b.beforeSave = func() {
			if err := core.NewStore(handle(b.store)).Delete(context.Background(), "k"); err != nil {
				t.Error(err)
			}
		}
		if _, err := source.Refresh(context.Background()); err == nil || !strings.Contains(err.Error(), "removed during the refresh") {
			t.Errorf("got %v", err)
		}
		time.Sleep(2 * time.Second) // the failure is forgotten
		mustToken(t, source)
	})
}

func TestARefreshFunctionThatSeesNoNeedIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend())
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		asked := 0
		at, err := s.TokenSource("k", ana(), func(context.Context, *tokencache.Cache, core.Refresh) error {
			asked++
			return core.ErrNotNeeded
		}).Token(context.Background())
		if err == nil || asked != 1 {
			t.Errorf("an expired token: %q, %v, asked %d times", at.Secret.Reveal(), err, asked)
		}
	})
}

func TestAShortLivedTokenCostsOneRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(700 * time.Millisecond)
		p := newIDP()
		s := core.NewStore(newBackend())
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		p.lifetime = 0
		ts := s.TokenSource("k", ana(), slowly(p))
		var wg sync.WaitGroup
		for range 25 {
			wg.Go(func() { mustToken(t, ts) })
		}
		wg.Wait()
		if err := s.Flush(context.Background()); err != nil || p.count() != 1 {
			t.Errorf("%v, %d refreshes", err, p.count())
		}
	})
}

func TestARefreshFunctionThatNeverReturnsIsAnError(t *testing.T) {
	for what, end := range map[string]func(){
		"panics": func() { panic(tokencache.Secret("canary")) },
		"exits":  runtime.Goexit,
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			defer cancel()
			p := newIDP()
			s := core.NewStore(newBackend())
			p.signIn(t, s, "k", "ana")
			ts := s.TokenSource("k", ana(), func(context.Context, *tokencache.Cache, core.Refresh) error { end(); return nil })
			_, tokenErr := ts.Refresh(ctx)
			_, _, storeErr := s.Refresh(ctx, "k", core.AnyVersion, func(context.Context, *tokencache.Cache) error { end(); return nil })
			for _, err := range []error{tokenErr, storeErr} {
				if err == nil || ctx.Err() != nil || strings.Contains(err.Error(), "canary") {
					t.Errorf("it %s: %v", what, err)
				}
			}
			if _, err := s.TokenSource("k", ana(), p.refresh).Refresh(ctx); err != nil {
				t.Errorf("it %s, and the next: %v", what, err)
			}
		})
	}
}

func TestARecordDeletedWhileItsTokensAreUnsavedStaysDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		p, b := newIDP(), newBackend()
		s, other := core.NewStore(b), core.NewStore(handle(b.store))
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		b.fail("save", errOutage)
		mustToken(t, s.TokenSource("k", ana(), p.refresh))
		if ok, err := s.Check(ctx, "k"); !ok || err != nil {
			t.Error(ok, err)
		}
		if err := other.Delete(ctx, "k"); err != nil {
			t.Fatal(err)
		}
		b.fail("save", nil)
		for range 2 { // before and after the store gave up the tokens
			if _, _, err := s.Load(ctx, "k"); !errors.Is(err, core.ErrNotFound) {
				t.Errorf("Load: %v", err)
			}
			if ok, err := s.Check(ctx, "k"); ok || err != nil {
				t.Error(ok, err)
			}
			if err := s.Flush(ctx); err != nil {
				t.Error(err)
			}
		}
		if ok, _ := b.Check(ctx, "k"); ok {
			t.Error("an empty record was made")
		}
	})
}

func TestFlushReturnsTheUnsavedRecordsWhenItsTimeIsOver(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	p, b := newIDP(), newBackend()
	s := core.NewStore(b)
	p.signIn(t, s, "k", "ana")
	b.fail("save", core.ErrReadOnly)
	if _, err := s.TokenSource("k", ana(), p.refresh).Refresh(ctx); !errors.Is(err, core.ErrRefreshedNotSaved) {
		t.Error(err)
	}
	cancel()
	if err := s.Flush(ctx); !errors.Is(err, core.ErrRefreshedNotSaved) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestFlushEndsThoughTheStoreTakesNoNoticeOfItsContext(t *testing.T) {
	for _, op := range []string{"load", "save"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b, hang := newIDP(), &awkward{backend: newBackend()}, make(chan struct{})
				s := core.NewStore(b)
				signInUnsaved(t, p, b.backend, s, "ana")
				switch op {
				case "load":
					b.load = func(context.Context, string) (core.Record, error) { <-hang; return core.Record{}, errOutage }
				case "save":
					b.save = func(context.Context, string, core.Record) (core.Version, error) { <-hang; return "", errOutage }
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				over := make(chan error, 1)
				go func() { over <- s.Flush(ctx) }()
				time.Sleep(time.Minute)
				select {
				case err := <-over:
					if !errors.Is(err, core.ErrRefreshedNotSaved) {
						t.Error(err)
					}
				default:
					t.Error("Flush goes on after a minute")
				}
				close(hang)
				synctest.Wait()
				b.load, b.save = nil, nil
				if err := s.Flush(t.Context()); err != nil {
					t.Error("once the store is back:", err)
				}
			})
		})
	}
}

// A busy process always has a refresh running.
func TestFlushDoesNotWaitForWhatBeginsAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s := core.NewStore(b)
		p.set(func(p *idp) { p.before = func() error { time.Sleep(2 * time.Second); return nil } })
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		for user, query := range map[string]tokencache.Query{"ana": ana(), "bo": bo()} {
			p.signIn(t, s, user, user)
			go func() {
				for ctx.Err() == nil {
					_, _ = s.TokenSource(user, query, p.refresh).Refresh(ctx)
				}
			}()
			time.Sleep(time.Second)
		}
		for range 3 {
			began := time.Now()
			hurry, cancel := context.WithTimeout(ctx, time.Minute)
			if err := s.Flush(hurry); err != nil || time.Since(began) > 5*time.Second {
				t.Errorf("Flush after %v: %v", time.Since(began), err)
			}
			cancel()
		}
		stop()
		if err := s.Flush(t.Context()); err != nil { // and here it waits for all
			t.Error(err)
		}
		if grants := p.count(); grants == 0 {
			t.Error("nothing was refreshed")
		}
	})
}

func TestASourceThatCannotRefreshRefusesNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend())
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		if _, err := s.TokenSource("k", ana(), nil).Token(context.Background()); !errors.Is(err, core.ErrReauthRequired) {
			t.Error(err)
		}
		mustToken(t, s.TokenSource("k", ana(), p.refresh))
	})
}

func TestAnUnexpiredTokenIsReturnedWhenTheStoreHangsLongerThanTheCallerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s := core.NewStore(b, core.WithMaxStale(time.Minute))
		p.signIn(t, s, "k", "ana")
		mustToken(t, s.TokenSource("k", ana(), p.refresh))
		time.Sleep(2 * time.Minute)
		if _, err := b.leases.Acquire(context.Background(), "k", time.Hour); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		ts := s.TokenSource("k", ana(), p.refresh)
		if at, err := ts.Token(ctx, core.MinValidity(59*time.Minute)); err != nil || at.Secret.Reveal() != "at-ana-in1" {
			t.Errorf("%q, %v", at.Secret.Reveal(), err)
		}
	})
}

func TestAnExpiredTokenIsNotReturnedAfterARefreshThatObtainsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend())
		p.signIn(t, s, "k", "ana", "bo")
		time.Sleep(61 * time.Minute)
		at, err := s.TokenSource("k", ana(), func(_ context.Context, c *tokencache.Cache, _ core.Refresh) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			r := p.response("ana")
			r.Scope = "Mail.Read"
			return c.Put(r)
		}).Token(context.Background())
		if err == nil || errors.Is(err, core.ErrReauthRequired) {
			t.Errorf("%q, %v", at.Secret.Reveal(), err)
		}
		if c, _, err := s.Load(context.Background(), "k"); err != nil || !c.LongLived(ana()) {
			t.Error(err)
		} else if rt, _ := c.RefreshToken(ana()); rt.Secret.Reveal() != p.current["ana"] {
			t.Errorf("kept %q", rt.Secret.Reveal())
		}
		mustToken(t, s.TokenSource("k", bo(), p.refresh))
	})
}

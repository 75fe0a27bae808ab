package core_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The tests in this file are named for the eleven promises of docs/contract.md.

// calm has no jitter, so that tests can name the moment a refresh is due.
func calm() core.StoreOption { return core.WithRefreshWindow(5*time.Minute, 0) }

// 1. Compare-and-swap is the guarantee; the lease only saves calls.
func TestPromise1_AnEditInTheMiddleOfARefreshIsMerged(t *testing.T) {
	p, b := newIDP(), newBackend()
	s := core.NewStore(b, calm())
	p.signIn(t, s, "k", "ana", "bo")
	other := core.NewStore(handle(b.store))
	b.beforeSave = func() { // bo signs in again while ana's refresh is about to be saved
		p.mu.Lock()
		r := p.issue("bo", "again")
		p.mu.Unlock()
		if err := other.Update(context.Background(), "k", func(c *tokencache.Cache) error { return c.Put(r) }); err != nil {
			t.Error(err)
		}
	}
	at, err := s.TokenSource("k", ana(), p.refresh).Refresh(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := other.Load(context.Background(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := c.AccessToken(ana()); got.Secret != at.Secret {
		t.Errorf("ana's token is %q, not the refreshed %q", got.Secret.Reveal(), at.Secret.Reveal())
	}
	for _, q := range []tokencache.Query{ana(), bo()} {
		user, _, _ := strings.Cut(q.HomeAccountID, ".")
		if rt, _ := c.RefreshToken(q); rt.Secret.Reveal() != p.current[user] {
			t.Errorf("%s's refresh token is %q, the good one is %q", user, rt.Secret.Reveal(), p.current[user])
		}
	}
}

func TestPromise1_ALostLeaseDoesNotCancelTheRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(core.WithLeaser(newBackend(), losing{}), calm(), core.WithLeaseTTL(10*time.Second))
		p.signIn(t, s, "k", "ana")
		p.wait = make(chan struct{})
		go func() {
			<-p.arrived
			time.Sleep(20 * time.Second)
			close(p.wait)
		}()
		ts := s.TokenSource("k", ana(), p.refresh)
		at, err := ts.Refresh(context.Background())
		if err != nil || at.Secret.Reveal() != "at-ana-1" {
			t.Errorf("%q, %v", at.Secret.Reveal(), err)
		}
	})
}

// losing grants leases that are gone by the time they are renewed, as after a
// failover.
type losing struct{}

func (losing) Acquire(context.Context, string, time.Duration) (core.Lease, error) {
	return losing{}, nil
}
func (losing) Renew(context.Context, time.Duration) error { return core.ErrLeaseLost }
func (losing) Release(context.Context) error              { return core.ErrLeaseLost }

// 2. One refresh per expiry.
func TestPromise2_OneRefreshPerExpiryInAProcessAndAcross(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		p.signIn(t, core.NewStore(b), "k", "ana")
		var stores []*core.Store
		for range 4 {
			stores = append(stores, core.NewStore(handle(b.store)))
		}
		for expiry := 1; expiry <= 3; expiry++ {
			time.Sleep(61 * time.Minute)
			var wg sync.WaitGroup
			for _, s := range stores {
				for range 25 {
					wg.Go(func() {
						at, err := s.TokenSource("k", ana(), slowly(p)).Token(context.Background())
						if want := fmt.Sprintf("at-ana-%d", expiry); err != nil || at.Secret.Reveal() != want {
							t.Errorf("%q, %v; want %q", at.Secret.Reveal(), err, want)
						}
					})
				}
			}
			wg.Wait()
		}
		if p.count() != 3 {
			t.Errorf("%d refreshes for 3 expiries", p.count())
		}
	})
}

// slowly is a provider that takes its time.
func slowly(p *idp) core.RefreshFunc {
	return func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
		time.Sleep(time.Second)
		return p.refresh(ctx, c, r)
	}
}

func TestPromise2_InAProcessOnABackendThatCantCoordinate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(alone{backend: newBackend()})
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		var wg sync.WaitGroup
		for range 25 {
			wg.Go(func() { mustToken(t, s.TokenSource("k", ana(), slowly(p))) })
		}
		wg.Wait()
		if p.count() != 1 {
			t.Errorf("%d refreshes", p.count())
		}
	})
}

func TestPromise2_AttemptsForOtherQueriesOfTheRecordWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend())
		p.signIn(t, s, "k", "ana", "bo")
		time.Sleep(61 * time.Minute)
		var running, most atomic.Int32
		refresh := func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer running.Add(-1)
			return slowly(p)(ctx, c, r)
		}
		var wg sync.WaitGroup
		for _, q := range []tokencache.Query{ana(), bo()} {
			for _, opt := range []core.TokenOption{core.Claims("{1}"), core.Claims("{2}")} {
				wg.Go(func() { mustToken(t, s.TokenSource("k", q, refresh), opt) })
			}
		}
		wg.Wait()
		if most.Load() != 1 || p.count() != 4 {
			t.Errorf("%d at a time, %d refreshes", most.Load(), p.count())
		}
	})
}

func TestPromise2_AnotherUsersWriteIsNoRefreshOfMine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s, other := core.NewStore(b), core.NewStore(handle(b.store))
		p.signIn(t, s, "k", "ana", "bo")
		time.Sleep(61 * time.Minute)
		// bo's token is refreshed elsewhere while ana's waits for the lease.
		p.set(func(p *idp) { p.wait = make(chan struct{}) })
		go func() {
			if _, err := other.TokenSource("k", bo(), p.refresh).Token(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		<-p.arrived
		go func() {
			time.Sleep(time.Second)
			wait := p.wait
			p.set(func(p *idp) { p.wait = nil })
			close(wait)
		}()
		if got := mustToken(t, s.TokenSource("k", ana(), p.refresh)); got != "at-ana-2" {
			t.Errorf("got %q", got)
		}
	})
}

func TestPromise2_AFailedRefreshIsRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend())
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		p.err = errors.New("503")
		ts := s.TokenSource("k", ana(), p.refresh)
		for range 50 {
			if _, err := ts.Token(context.Background()); !errors.Is(err, p.err) {
				t.Fatal(err)
			}
		}
		if p.count() != 1 {
			t.Errorf("%d requests to a failing provider at once", p.count())
		}
		start := time.Now()
		for time.Since(start) < 10*time.Minute {
			_, _ = ts.Token(context.Background())
			time.Sleep(100 * time.Millisecond)
		}
		if n := p.count(); n < 10 || n > 20 {
			t.Errorf("%d requests in ten minutes of failures", n)
		}
		p.set(func(p *idp) { p.err = nil })
		time.Sleep(time.Minute)
		mustToken(t, ts)
	})
}

func TestPromise2_OneUsersSignOutIsNotAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s := core.NewStore(b)
		p.signIn(t, s, "k", "ana", "bo")
		time.Sleep(61 * time.Minute)
		p.current["ana"] = "revoked"
		if _, err := s.TokenSource("k", ana(), p.refresh).Token(context.Background()); !errors.Is(err, core.ErrReauthRequired) {
			t.Error(err)
		}
		mustToken(t, s.TokenSource("k", bo(), p.refresh))
		// A new sign-in ends the memory of the failure at once.
		p.signIn(t, core.NewStore(handle(b.store)), "k", "ana")
		mustToken(t, s.TokenSource("k", ana(), p.refresh))
	})
}

// 3. From the moment the request is sent, the refresh is detached.
func TestPromise3_TheProvidersAnswerIsSavedAfterTheCallerLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s := core.NewStore(b)
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		p.wait = make(chan struct{})
		ctx, cancel := context.WithCancel(context.Background())
		go func() {
			<-p.arrived
			cancel()
			time.Sleep(time.Second)
			close(p.wait)
		}()
		start := time.Now()
		if _, err := s.TokenSource("k", ana(), p.refresh).Token(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if time.Since(start) > 0 {
			t.Error("the caller was kept")
		}
		if err := s.Flush(context.Background()); err != nil {
			t.Error(err)
		}
		c, _, err := core.NewStore(handle(b.store)).Load(context.Background(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if at, _ := c.AccessToken(ana()); at.Secret.Reveal() != "at-ana-1" {
			t.Errorf("stored is %q", at.Secret.Reveal())
		}
	})
}

func TestPromise3_ARefreshWithoutWaitersIsCancelledBeforeItIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s := core.NewStore(b)
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		lease, err := b.leases.Acquire(context.Background(), "k", time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := s.TokenSource("k", ana(), p.refresh).Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		_ = lease.Release(context.Background())
		if err := s.Flush(context.Background()); err != nil || p.count() != 0 {
			t.Errorf("%v, %d requests", err, p.count())
		}
	})
}

func TestPromise3_TheProviderHasItsOwnTimeOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend(), core.WithRefreshTimeout(7*time.Second))
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		p.wait = make(chan struct{})
		start := time.Now()
		if _, err := s.TokenSource("k", ana(), p.refresh).Token(context.Background()); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("gave up after %v", took)
		}
	})
}

func TestPromise3_TokensThatCannotBeSavedAreKeptAndServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		p, b := newIDP(), newBackend()
		var events observed
		s := core.NewStore(b, core.WithObserver(&events), calm())
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		b.fail("save", errOutage)
		ts := s.TokenSource("k", ana(), p.refresh)
		if got := mustToken(t, ts); got != "at-ana-1" {
			t.Errorf("Token handed out %q", got)
		}
		if !events.has(core.EventUnsaved, errOutage) {
			t.Error("the observer was not told")
		}
		if err := s.Flush(ctx); !errors.Is(err, core.ErrRefreshedNotSaved) || !errors.Is(err, errOutage) {
			t.Errorf("Flush said %v", err)
		}
		// The store's own next refresh must not spend the old refresh token.
		if at, err := ts.Refresh(ctx); !errors.Is(err, core.ErrRefreshedNotSaved) || at.Secret.Reveal() != "at-ana-2" {
			t.Errorf("Refresh said %q, %v", at.Secret.Reveal(), err)
		}
		if c, _, err := s.Load(ctx, "k"); err != nil {
			t.Error(err)
		} else if rt, _ := c.RefreshToken(ana()); rt.Secret.Reveal() != "rt-ana-2" {
			t.Errorf("Load showed %q", rt.Secret.Reveal())
		}
		b.fail("save", nil)
		if err := s.Flush(ctx); err != nil {
			t.Error(err)
		}
		c, _, err := core.NewStore(handle(b.store)).Load(ctx, "k")
		if err != nil {
			t.Fatal(err)
		}
		if rt, _ := c.RefreshToken(ana()); rt.Secret.Reveal() != "rt-ana-2" {
			t.Errorf("saved in the end: %q", rt.Secret.Reveal())
		}
	})
}

func TestPromise3_UnsavedTokensAreSavedInTheBackgroundOnceTheStoreIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s := core.NewStore(b, calm())
		p.signIn(t, s, "k", "ana")
		time.Sleep(61 * time.Minute)
		b.fail("save", errOutage)
		ts := s.TokenSource("k", ana(), p.refresh)
		mustToken(t, ts)
		failed := b.count("save")
		for range 300 {
			mustToken(t, ts)
			time.Sleep(time.Second)
		}
		if n := b.count("save") - failed; n < 5 || n > 15 {
			t.Errorf("%d attempts in five minutes", n)
		}
		b.fail("save", nil)
		time.Sleep(time.Minute)
		mustToken(t, ts)
		synctest.Wait()
		c, _, err := core.NewStore(handle(b.store)).Load(context.Background(), "k")
		if err != nil {
			t.Fatal(err)
		}
		if rt, _ := c.RefreshToken(ana()); rt.Secret.Reveal() != "rt-ana-1" {
			t.Errorf("stored is %q", rt.Secret.Reveal())
		}
		ops := b.count("load") + b.count("save")
		time.Sleep(time.Minute)
		mustToken(t, ts)
		mustToken(t, ts)
		if n := b.count("load") + b.count("save"); n != ops {
			t.Errorf("%d calls for a token that is valid and saved", n-ops)
		}
	})
}

func TestPromise3_AResponseWithoutRefreshTokenKeepsTheOld(t *testing.T) {
	p, b := newIDP(), newBackend()
	s := core.NewStore(b)
	p.signIn(t, s, "k", "ana")
	ts := s.TokenSource("k", ana(), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		old := p.current["ana"]
		resp := p.response("ana")
		resp.RefreshToken, p.current["ana"] = "", old
		return c.Put(resp)
	})
	if _, err := ts.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	c, _, err := s.Load(context.Background(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if rt, ok := c.RefreshToken(ana()); !ok || rt.Secret.Reveal() != p.current["ana"] {
		t.Errorf("the refresh token is %q", rt.Secret.Reveal())
	}
}

// 4. Losing a race is not a logout.
func TestPromise4_ALostRaceIsNotALogout(t *testing.T) {
	p, b := newIDP(), newBackend()
	s, other := core.NewStore(b), core.NewStore(alone{backend: handle(b.store)})
	p.signIn(t, s, "k", "ana")
	// Somebody without our lease is quicker.
	at, err := s.TokenSource("k", ana(), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
		if _, err := other.TokenSource("k", ana(), p.refresh).Refresh(ctx); err != nil {
			t.Error(err)
		}
		p.set(func(p *idp) { p.err = core.ErrReauthRequired })
		defer p.set(func(p *idp) { p.err = nil })
		return p.refresh(ctx, c, r)
	}).Refresh(context.Background())
	if err != nil || at.Secret.Reveal() != "at-ana-1" {
		t.Errorf("%q, %v", at.Secret.Reveal(), err)
	}
}

func TestPromise4_AnotherUsersWriteDoesNotHideARealSignOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s, other := core.NewStore(b), core.NewStore(alone{backend: handle(b.store)})
		p.signIn(t, s, "k", "ana", "bo")
		time.Sleep(61 * time.Minute)
		p.current["ana"] = "revoked"
		calls := 0
		_, err := s.TokenSource("k", ana(), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
			if calls++; calls == 1 { // bo's token is refreshed while ana's is refused
				if _, err := other.TokenSource("k", bo(), p.refresh).Token(ctx); err != nil {
					t.Error(err)
				}
			}
			return p.refresh(ctx, c, r)
		}).Token(context.Background())
		if !errors.Is(err, core.ErrReauthRequired) || calls != 1 {
			t.Errorf("%v after %d attempts", err, calls)
		}
	})
}

func TestPromise4_ARefusedUserOfABusyRecordIsRefusedOnce(t *testing.T) {
	for what, refusal := range map[string]error{"without a scope": core.ErrReauthRequired, "with a scope": scoped{core.ErrReauthRequired, core.FailureOfUser, 0}} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b := newIDP(), newBackend()
				s, other := core.NewStore(b), core.NewStore(alone{backend: handle(b.store)})
				p.signIn(t, s, "k", "ana", "bo")
				time.Sleep(61 * time.Minute)
				calls := 0
				ts := s.TokenSource("k", ana(), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
					calls++
					if _, err := other.TokenSource("k", bo(), p.refresh).Refresh(ctx); err != nil {
						t.Error(err)
					}
					return refusal
				})
				for range 60 { // bo's token is refreshed all the time, which changes nothing for ana
					if _, err := ts.Token(t.Context()); !errors.Is(err, core.ErrReauthRequired) {
						t.Errorf("Token: %v", err)
					}
					time.Sleep(time.Second)
				}
				if calls > 7 { // after 1, 2, 4 … seconds
					t.Errorf("the provider was asked %d times in a minute", calls)
				}
				p.signIn(t, other, "k", "ana")
				if _, err := ts.Token(t.Context()); err != nil {
					t.Errorf("signed in again: %v", err)
				}
			})
		})
	}
}

func TestPromise4_NothingIsDeletedOnError(t *testing.T) {
	p, b := newIDP(), newBackend()
	s := core.NewStore(b)
	p.signIn(t, s, "k", "ana")
	before := b.records["k"]
	p.current["ana"] = "revoked"
	if _, err := s.TokenSource("k", ana(), p.refresh).Refresh(context.Background()); !errors.Is(err, core.ErrReauthRequired) {
		t.Error(err)
	}
	if after := b.records["k"]; after.Version != before.Version || !bytes.Equal(after.Data, before.Data) || b.count("delete") != 0 {
		t.Error("the record was touched")
	}
}

// 5. Absent, broken and unreachable are three errors.
func TestPromise5_AbsentBrokenAndUnreachableAreThreeErrors(t *testing.T) {
	ctx := context.Background()
	legacy := `{"token_type":"Bearer","access_token":"x","refresh_token":"y","expires_at":1.0}`
	for what, test := range map[string]struct {
		data string
		opts []core.StoreOption
		down error
		want error
	}{
		"nothing stored":                {want: core.ErrNotFound},
		"an empty record":               {data: " ", want: core.ErrCorrupt},
		"a torn record":                 {data: `{"AccessToken": {`, want: core.ErrCorrupt},
		"a legacy token":                {data: legacy, want: core.ErrLegacyToken},
		"a record of another key":       {data: "xor:other:{}", opts: []core.StoreOption{core.WithCryptography(sealed{})}, want: core.ErrDecrypt},
		"a plain record under a key":    {data: "{}", opts: []core.StoreOption{core.WithCryptography(sealed{})}, want: core.ErrDecrypt},
		"an empty record under a key":   {data: " ", opts: []core.StoreOption{core.WithCryptography(sealed{})}, want: core.ErrDecrypt},
		"a legacy token, plain reads":   {data: legacy, opts: []core.StoreOption{core.WithCryptography(sealed{}), core.WithPlaintextReads()}, want: core.ErrLegacyToken},
		"a store that can't be reached": {down: errOutage, want: errOutage},
	} {
		t.Run(what, func(t *testing.T) {
			b := newBackend()
			if test.data != "" {
				save(t, b, test.data)
			}
			b.fail("", test.down)
			_, _, err := core.NewStore(b, test.opts...).Load(ctx, "k")
			for _, e := range []error{core.ErrNotFound, core.ErrCorrupt, core.ErrLegacyToken, core.ErrDecrypt, errOutage} {
				if errors.Is(err, e) != (e == test.want) {
					t.Errorf("%v is %v: %v", err, e, errors.Is(err, e))
				}
			}
		})
	}
}

func TestPromise5_AnAbsentRecordIsAnEmptyCacheToTheRefreshFunction(t *testing.T) {
	s := core.NewStore(newBackend())
	app := tokencache.Query{ClientID: clientID, App: true, Scopes: []string{"https://graph.microsoft.com/.default"}}
	at, err := s.TokenSource("k", app, func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
		return c.Put(tokencache.TokenResponse{AccessToken: "app", ExpiresIn: 3600, Scope: "https://graph.microsoft.com/.default",
			TokenType: "Bearer", ClientID: clientID, Environment: "login.microsoftonline.com", Tenant: tenant, Sent: time.Now()})
	}).Token(context.Background())
	if err != nil || at.Secret.Reveal() != "app" {
		t.Errorf("client credentials: %q, %v", at.Secret.Reveal(), err)
	}
	if _, err := s.TokenSource("nobody", ana(), newIDP().refresh).Token(context.Background()); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("a user: %v", err)
	}
}

// 6. During an outage the unexpired token goes on serving.
func TestPromise6_InTheWindowATokenIsReturnedAtOnceAndRefreshedInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s := core.NewStore(b, calm())
		p.signIn(t, s, "k", "ana")
		ts := s.TokenSource("k", ana(), slowly(p))
		first := mustToken(t, ts)
		time.Sleep(54 * time.Minute)
		if got := mustToken(t, ts); got != first || p.count() != 0 {
			t.Error("refreshed before the window")
		}
		time.Sleep(2 * time.Minute)
		start := time.Now()
		for range 10 {
			if got := mustToken(t, ts); got != first || time.Since(start) > 0 {
				t.Error("not served at once")
			}
		}
		time.Sleep(2 * time.Second)
		if got := mustToken(t, ts); got != "at-ana-1" || p.count() != 1 {
			t.Errorf("served %q after %d refreshes", got, p.count())
		}
	})
}

func TestPromise6_DuringAnOutageTheUnexpiredTokenServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s := core.NewStore(b, core.WithMaxStale(time.Minute))
		p.signIn(t, s, "k", "ana")
		ts := s.TokenSource("k", ana(), p.refresh)
		first := mustToken(t, ts)
		b.fail("", errOutage)
		for range 59 {
			time.Sleep(time.Minute)
			if got := mustToken(t, ts); got != first {
				t.Fatalf("served %q", got)
			}
		}
		if got := mustToken(t, ts, core.MinValidity(30*time.Minute)); got != first {
			t.Errorf("served %q", got)
		}
		time.Sleep(2 * time.Minute)
		if _, err := ts.Token(context.Background()); !errors.Is(err, errOutage) {
			t.Errorf("after expiry: %v", err)
		}
		b.fail("", nil)
		time.Sleep(time.Minute)
		mustToken(t, ts)
	})
}

func TestPromise6_TheWindowIsAtMostHalfTheLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		p.lifetime = 2 * time.Minute
		s := core.NewStore(newBackend(), core.WithRefreshWindow(time.Hour, time.Hour))
		p.signIn(t, s, "k", "ana")
		ts := s.TokenSource("k", ana(), p.refresh)
		mustToken(t, ts)
		time.Sleep(59 * time.Second)
		mustToken(t, ts)
		synctest.Wait()
		if p.count() != 0 {
			t.Error("refreshed in its first half")
		}
		time.Sleep(2 * time.Second)
		mustToken(t, ts)
		synctest.Wait()
		if p.count() != 1 {
			t.Errorf("%d refreshes in its second half", p.count())
		}
	})
}

func TestPromise6_ATokenJustObtainedIsAlwaysAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend(), calm())
		p.signIn(t, s, "k", "ana")
		ts := s.TokenSource("k", ana(), p.refresh)
		for range 10 {
			mustToken(t, ts, core.MinValidity(2*time.Hour)) // no token of this provider has it
		}
		if p.count() > 1 {
			t.Errorf("%d refreshes for a validity that can't be had", p.count())
		}
		p.lifetime = 0
		if _, err := ts.Refresh(context.Background()); err != nil {
			t.Errorf("a token without a lifetime: %v", err)
		}
	})
}

func TestPromise6_MinValidityIsMetWhereItCanBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend(), calm())
		p.signIn(t, s, "k", "ana")
		ts := s.TokenSource("k", ana(), p.refresh)
		time.Sleep(20 * time.Minute)
		mustToken(t, ts, core.MinValidity(39*time.Minute))
		if p.count() != 0 {
			t.Error("refreshed although it was met")
		}
		if got := mustToken(t, ts, core.MinValidity(50*time.Minute)); got != "at-ana-1" {
			t.Errorf("served %q", got)
		}
	})
}

// 7. A secret is never printed.
func TestPromise7_ASecretIsNeverPrinted(t *testing.T) {
	const canary = "canary-3f9a"
	b := newBackend()
	var log bytes.Buffer
	s := core.NewStore(b, core.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	put := func(ctx context.Context, c *tokencache.Cache, _ core.Refresh) error {
		return c.Put(tokencache.TokenResponse{AccessToken: canary + "at", RefreshToken: canary + "rt", ExpiresIn: 3600, Scope: "User.Read",
			ClientID: clientID, Environment: "login.microsoftonline.com", Tenant: "common", HomeAccountID: home("ana"), Sent: time.Now()})
	}
	ts := s.TokenSource("k", ana(), put)
	b.fail("save", errOutage)
	at, err := ts.Refresh(context.Background())
	if !errors.Is(err, core.ErrRefreshedNotSaved) {
		t.Fatal(err)
	}
	c, _, loadErr := s.Load(context.Background(), "k")
	save(t, newBackend(), canary)
	broken := newBackend()
	save(t, broken, canary)
	_, _, brokenErr := core.NewStore(broken).Load(context.Background(), "k")
	req := core.Rejected(at.Secret)
	var out strings.Builder
	for _, v := range []any{at, &at, err, loadErr, brokenErr, c, s, ts, req, []any{at, ts}, map[string]any{"s": s}} {
		fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
		if j, err := json.Marshal(v); err == nil {
			out.Write(j)
		}
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "at", at, "err", err, "cache", c, "store", s, "source", ts, "option", req)
	if text := out.String() + log.String(); strings.Contains(text, canary) {
		i := strings.Index(text, canary)
		t.Errorf("printed: …%s…", text[max(0, i-200):min(len(text), i+40)])
	}
	if !strings.Contains(log.String(), "unsaved") {
		t.Errorf("the log says nothing of what happened: %s", log.String())
	}
}

// 8. Constructors do no I/O and never panic.
func TestPromise8_ConstructorsDoNoIO(t *testing.T) {
	b := newBackend()
	b.fail("", errOutage)
	s := core.NewStore(b)
	s.TokenSource("not a valid key \x00", tokencache.Query{}, nil)
	core.WithLeaser(b, b)
	if n := len(b.ops); n != 0 {
		t.Errorf("%d operations", n)
	}
}

// 9. Keys: see TestNamesAreReversibleAndDontCollide, and conformance.
func TestPromise9_AnInvalidKeyIsRefusedEverywhere(t *testing.T) {
	ctx := context.Background()
	s := core.NewStore(newBackend())
	_, _, load := s.Load(ctx, "")
	_, save := s.Save(ctx, "a\x00", tokencache.New(), core.AnyVersion)
	_, check := s.Check(ctx, strings.Repeat("x", 151))
	_, token := s.TokenSource("\xff", ana(), newIDP().refresh).Token(ctx)
	for what, err := range map[string]error{"load": load, "save": save, "check": check, "token": token, "delete": s.Delete(ctx, "")} {
		if !errors.Is(err, core.ErrInvalidKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// 10. Plain records are MSAL JSON; the associated data is the key and the namespace.
func TestPromise10_RecordsCannotBeSwappedBetweenKeysOrNamespaces(t *testing.T) {
	ctx := context.Background()
	b := newBackend()
	p := newIDP()
	s := core.NewStore(b, core.WithCryptography(sealed{}), core.WithNamespace("prod"))
	p.signIn(t, s, "ana", "ana")
	b.records["bo"] = b.records["ana"]
	if _, _, err := s.Load(ctx, "bo"); !errors.Is(err, core.ErrDecrypt) {
		t.Errorf("under another key: %v", err)
	}
	if _, _, err := core.NewStore(b, core.WithCryptography(sealed{}), core.WithNamespace("test")).Load(ctx, "ana"); !errors.Is(err, core.ErrDecrypt) {
		t.Errorf("in another namespace: %v", err)
	}
	if _, _, err := s.Load(ctx, "ana"); err != nil {
		t.Error(err)
	}
}

func TestPromise10_PlainRecordsAreReadWhereAskedForAndEncryptedFromThenOn(t *testing.T) {
	ctx := context.Background()
	b := newBackend()
	newIDP().signIn(t, core.NewStore(b), "k", "ana")
	if !bytes.HasPrefix(b.records["k"].Data, []byte("{")) {
		t.Error("a plain record is not JSON")
	}
	s := core.NewStore(b, core.WithCryptography(sealed{}), core.WithPlaintextReads())
	c, v, err := s.Load(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Save(ctx, "k", c, v); err != nil {
		t.Fatal(err)
	}
	if bytes.HasPrefix(b.records["k"].Data, []byte("{")) {
		t.Error("saved in the clear")
	}
}

// 11. The in-process copy.
func TestPromise11_AValidTokenCostsNoIONoParsingNoAllocation(t *testing.T) {
	p, b := newIDP(), newBackend()
	s := core.NewStore(b)
	p.signIn(t, s, "k", "ana")
	ts := s.TokenSource("k", ana(), p.refresh)
	first := mustToken(t, ts)
	ops := b.count("load")
	ctx, rejected := context.Background(), tokencache.Secret("another")
	for what, token := range map[string]func() (tokencache.AccessToken, error){
		"plainly":          func() (tokencache.AccessToken, error) { return ts.Token(ctx) },
		"with MinValidity": func() (tokencache.AccessToken, error) { return ts.Token(ctx, core.MinValidity(time.Minute)) },
		"with another Rejected": func() (tokencache.AccessToken, error) {
			return ts.Token(ctx, core.Rejected(rejected))
		},
	} {
		if n := testing.AllocsPerRun(100, func() {
			if at, err := token(); err != nil || at.Secret.Reveal() != first {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	mustToken(t, s.TokenSource("k", ana(), p.refresh)) // another source shares the copy
	if n := b.count("load"); n != ops {
		t.Errorf("%d loads for a valid token", n-ops)
	}
}

func TestPromise11_TheNextExpiryMeetsAChangedVersionAndOneLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s, other := core.NewStore(b), core.NewStore(handle(b.store))
		p.signIn(t, s, "k", "ana")
		ts := s.TokenSource("k", ana(), p.refresh)
		mustToken(t, ts)
		time.Sleep(61 * time.Minute)
		mustToken(t, other.TokenSource("k", ana(), p.refresh))
		ops := b.count("load")
		if got := mustToken(t, ts); got != "at-ana-1" || b.count("load") != ops+1 || b.count("acquire") != 0 {
			t.Errorf("got %q by %d loads and %d leases", got, b.count("load")-ops, b.count("acquire"))
		}
	})
}

func TestPromise11_AForcedRefreshComparesTheRejectedSecret(t *testing.T) {
	p, b := newIDP(), newBackend()
	s, other := core.NewStore(b), core.NewStore(handle(b.store))
	p.signIn(t, s, "k", "ana")
	ts := s.TokenSource("k", ana(), p.refresh)
	rejected := tokencache.Secret(mustToken(t, ts))
	// The version changes, the rejected token doesn't: it is not served again.
	p.signIn(t, other, "k", "bo")
	if got := mustToken(t, ts, core.Rejected(rejected)); got != "at-ana-1" {
		t.Errorf("got %q", got)
	}
	// Another process has replaced the token by now: its token is good enough.
	third := core.NewStore(handle(b.store))
	if got := mustToken(t, third.TokenSource("k", ana(), p.refresh), core.Rejected(rejected)); got != "at-ana-1" || p.count() != 1 {
		t.Errorf("got %q after %d refreshes", got, p.count())
	}
	if got := mustToken(t, ts, core.Rejected(rejected)); got != "at-ana-1" || p.count() != 1 {
		t.Errorf("a late rejection got %q after %d refreshes", got, p.count())
	}
}

// The query names no scopes, so that both tokens fit. Neither was obtained by another process
// since Refresh was called.
func TestPromise11_ATokenForOtherScopesIsNotTheResultOfAForcedRefresh(t *testing.T) {
	p, b := newIDP(), newBackend()
	s := core.NewStore(b)
	p.signIn(t, s, "k", "ana")
	err := s.Update(t.Context(), "k", func(c *tokencache.Cache) error {
		return c.Put(tokencache.TokenResponse{AccessToken: "mail", ExpiresIn: 3600, Scope: "Mail.Read",
			ClientID: clientID, HomeAccountID: home("ana"), Environment: "login.microsoftonline.com", Tenant: "common"})
	})
	if err != nil {
		t.Fatal(err)
	}
	q := ana()
	q.Scopes = nil
	got, err := core.NewStore(handle(b.store)).TokenSource("k", q, p.refresh).Refresh(t.Context())
	if err != nil || got.Secret != "at-ana-1" || p.count() != 1 {
		t.Errorf("got %q after %d refreshes, %v", got.Secret.Reveal(), p.count(), err)
	}
}

func TestPromise11_ASignOutElsewhereIsSeenWithinMaxStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		p, b := newIDP(), newBackend()
		s := core.NewStore(b, core.WithMaxStale(5*time.Minute))
		p.signIn(t, s, "k", "ana", "bo")
		ts := s.TokenSource("k", ana(), p.refresh)
		mustToken(t, ts)
		err := core.NewStore(handle(b.store)).Update(ctx, "k", func(c *tokencache.Cache) error { c.Remove(ana()); return nil })
		if err != nil {
			t.Fatal(err)
		}
		mustToken(t, ts)
		time.Sleep(5 * time.Minute)
		if _, err := ts.Token(ctx); !errors.Is(err, core.ErrReauthRequired) {
			t.Errorf("after a sign-out: %v", err)
		}
		mustToken(t, s.TokenSource("k", bo(), p.refresh))
	})
}

func TestPromise11_ASignOutHereIsSeenAtOnce(t *testing.T) {
	ctx := context.Background()
	p := newIDP()
	s := core.NewStore(newBackend())
	p.signIn(t, s, "k", "ana")
	ts := s.TokenSource("k", ana(), p.refresh)
	mustToken(t, ts)
	if err := s.Delete(ctx, "k"); err != nil {
		t.Fatal(err)
	}
	if _, err := ts.Token(ctx); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("after Delete: %v", err)
	}
}

func TestPromise11_TheCopiesAreBounded(t *testing.T) {
	p, b := newIDP(), newBackend()
	s := core.NewStore(b, core.WithMaxTokens(10))
	for i := range 50 {
		key := fmt.Sprintf("k%d", i)
		p.signIn(t, s, key, "ana")
		mustToken(t, s.TokenSource(key, ana(), p.refresh))
	}
	ops := b.count("load")
	for i := range 50 {
		mustToken(t, s.TokenSource(fmt.Sprintf("k%d", i), ana(), p.refresh))
	}
	if n := b.count("load") - ops; n < 40 {
		t.Errorf("%d loads for 50 records, of which 10 may be kept", n)
	}
}

func TestASourceWithoutARefreshFunctionUsesTheRefreshesOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		s, other := core.NewStore(b), core.NewStore(handle(b.store))
		p.signIn(t, s, "k", "ana")
		ts := s.TokenSource("k", ana(), nil)
		mustToken(t, ts)
		time.Sleep(61 * time.Minute)
		if _, err := ts.Token(context.Background()); !errors.Is(err, core.ErrReauthRequired) {
			t.Error(err)
		}
		mustToken(t, other.TokenSource("k", ana(), p.refresh))
		if got := mustToken(t, ts); got != "at-ana-1" {
			t.Errorf("got %q", got)
		}
	})
}

func TestAQueryThatFitsSeveralUsersIsAmbiguous(t *testing.T) {
	p := newIDP()
	s := core.NewStore(newBackend())
	p.signIn(t, s, "k", "ana", "bo")
	if _, err := s.TokenSource("k", tokencache.Query{ClientID: clientID}, p.refresh).Token(context.Background()); !errors.Is(err, core.ErrAmbiguous) {
		t.Error(err)
	}
}

func TestUpdateStartsOverWhenSomebodySavedMeanwhile(t *testing.T) {
	b := newBackend()
	s, other := core.NewStore(b), core.NewStore(handle(b.store))
	p := newIDP()
	p.signIn(t, s, "k", "ana")
	b.beforeSave = func() { p.signIn(t, other, "k", "bo") }
	runs := 0
	err := s.Update(context.Background(), "k", func(c *tokencache.Cache) error {
		runs++
		return c.Put(tokencache.TokenResponse{AccessToken: "at-cy", ExpiresIn: 3600, Scope: "User.Read", ClientID: clientID,
			Environment: "login.microsoftonline.com", Tenant: "common", HomeAccountID: home("cy"), Sent: time.Now()})
	})
	c, _, loadErr := other.Load(context.Background(), "k")
	if err != nil || loadErr != nil || runs != 2 {
		t.Fatal(err, loadErr, runs)
	}
	for _, user := range []string{"ana", "bo", "cy"} {
		if _, ok := c.AccessToken(tokencache.Query{HomeAccountID: home(user)}); !ok {
			t.Errorf("%s's token is lost", user)
		}
	}
	if err := s.Update(context.Background(), "k", func(*tokencache.Cache) error { return nil }); err != nil || b.count("save") != 3 {
		t.Errorf("an update that changes nothing saved: %v", err)
	}
}

// sealed is a CryptographyManager that binds the associated data, and hides
// nothing.
type sealed struct{}

func (sealed) Encrypt(_ context.Context, plaintext, ad []byte) ([]byte, error) {
	return append([]byte("xor:"+string(ad)+":"), plaintext...), nil
}

func (sealed) Decrypt(_ context.Context, ciphertext, ad []byte) ([]byte, error) {
	plain, ok := bytes.CutPrefix(ciphertext, []byte("xor:"+string(ad)+":"))
	if !ok {
		return nil, core.ErrDecrypt
	}
	return plain, nil
}

// observed is an Observer that remembers.
type observed struct {
	mu     sync.Mutex
	events []core.Event
}

func (o *observed) Observe(_ context.Context, e core.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.events = append(o.events, e)
}

func (o *observed) has(name core.EventName, err error) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range o.events {
		if e.Name == name && errors.Is(e.Err, err) {
			return true
		}
	}
	return false
}

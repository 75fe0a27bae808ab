package core_test

import (
	"context"
	"errors"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The tests in this file are of tokens that a resource refused, or that the caller
// wants replaced.

func TestARefusedTokenIsNeverServedAgain(t *testing.T) {
	ctx := context.Background()
	for name, change := range map[string]func(*tokencache.TokenResponse){
		"though it has more scopes":    func(r *tokencache.TokenResponse) { r.Scope = "User.Read Mail.Read" },
		"though it lives longer":       func(r *tokencache.TokenResponse) { r.ExpiresIn = 24 * 3600 },
		"though its tenant is another": func(r *tokencache.TokenResponse) { r.Tenant, r.ExpiresIn = tenant, 24*3600 },
	} {
		for how, replace := range map[string]func(*core.TokenSource) error{
			"by Rejected": func(ts *core.TokenSource) error {
				_, err := ts.Token(ctx, core.Rejected("at-ana-refused"))
				return err
			},
			"by Refresh": func(ts *core.TokenSource) error { _, err := ts.Refresh(ctx); return err },
			"by Refresh with Rejected": func(ts *core.TokenSource) error {
				_, err := ts.Refresh(ctx, core.Rejected("at-ana-refused"))
				return err
			},
		} {
			t.Run(how+", "+name, func(t *testing.T) {
				p, b := newIDP(), newBackend()
				s := core.NewStore(b, calm())
				r := p.issue("ana", "refused")
				r.GrantType = "device_code"
				change(&r)
				if _, err := s.Put(ctx, "k", r); err != nil {
					t.Fatal(err)
				}
				q := ana()
				q.ClientID = ""
				ts := s.TokenSource("k", q, p.refresh)
				mustToken(t, ts)
				if err := replace(ts); err != nil {
					t.Fatal(err)
				}
				for what, source := range map[string]*core.TokenSource{"the source": ts, "another process": core.NewStore(handle(b.store)).TokenSource("k", q, p.refresh)} {
					if got := mustToken(t, source); got != "at-ana-1" {
						t.Errorf("%s has %q", what, got)
					}
				}
				if p.count() != 1 {
					t.Errorf("%d refreshes", p.count())
				}
			})
		}
	}
}

func TestATokenThatOneQueryHadReplacedIsServedToNoOther(t *testing.T) {
	ctx := context.Background()
	for how, replace := range map[string]func(*core.TokenSource) error{
		"by Rejected": func(ts *core.TokenSource) error {
			_, err := ts.Token(ctx, core.Rejected("at-ana-refused"))
			return err
		},
		"by Refresh": func(ts *core.TokenSource) error { _, err := ts.Refresh(ctx); return err },
	} {
		for who, elsewhere := range map[string]bool{"here": false, "in another process first": true} {
			t.Run(how+", "+who, func(t *testing.T) {
				p, b := newIDP(), newBackend()
				s := core.NewStore(b, calm())
				r := p.issue("ana", "refused")
				r.GrantType, r.Scope = "device_code", "User.Read Mail.Read"
				if _, err := s.Put(ctx, "k", r); err != nil {
					t.Fatal(err)
				}
				narrow, wide := ana(), ana()
				wide.Scopes = []string{"User.Read", "Mail.Read"}
				ts, other := s.TokenSource("k", narrow, p.refresh), s.TokenSource("k", wide, p.refresh)
				if got := mustToken(t, ts); got != mustToken(t, other) {
					t.Fatalf("the queries don't share %q", got)
				}
				if elsewhere {
					if err := replace(core.NewStore(handle(b.store)).TokenSource("k", narrow, p.refresh)); err != nil {
						t.Fatal(err)
					}
				}
				if err := replace(ts); err != nil {
					t.Fatal(err)
				}
				if at, err := other.Token(ctx); at.Secret == "at-ana-refused" {
					t.Errorf("the other query has the refused token, %v", err)
				}
			})
		}
	}
}

func TestAReplacementThatIsRefusedStandsForOtherQueriesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend(), calm())
		p.signIn(t, s, "k", "ana")
		broad, narrow := ana(), ana()
		broad.Scopes = nil
		for range 30 {
			for _, q := range []tokencache.Query{broad, narrow} {
				ts := s.TokenSource("k", q, p.refresh)
				must(ts.Token(t.Context(), core.Rejected(must(ts.Token(t.Context())).Secret)))
			}
			time.Sleep(time.Second)
		}
		if p.count() > 2 {
			t.Errorf("%d refreshes in half a minute", p.count())
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestAProviderMayGiveTheRefusedTokenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend())
		p.signIn(t, s, "k", "ana")
		ts := s.TokenSource("k", ana(), func(_ context.Context, c *tokencache.Cache, _ core.Refresh) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			return c.Put(p.issue("ana", "in1")) // from a cache of its own
		})
		first := mustToken(t, ts)
		time.Sleep(time.Minute)
		if again := mustToken(t, ts, core.Rejected(tokencache.Secret(first))); again != first {
			t.Errorf("got %q", again)
		}
	})
}

// Another library may have filed a token that lives a second longer, under another
// name of the tenant.
func TestTheNewTokenIsReturnedThoughAnotherTokenLivesLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		p.lifetime = 240 * time.Second
		s := core.NewStore(newBackend(), core.WithClock(func() time.Time { return time.Now().Add(5 * time.Minute) }))
		p.signIn(t, s, "k", "ana")
		err := s.Update(t.Context(), "k", func(c *tokencache.Cache) error {
			r := p.issue("ana", "other")
			r.Tenant, r.RefreshToken = tenant, ""
			return c.Put(r)
		})
		if err != nil {
			t.Fatal(err)
		}
		p.current["ana"], p.lifetime = "rt-ana-in1", 239*time.Second
		if got := mustToken(t, s.TokenSource("k", ana(), p.refresh)); got != "at-ana-1" || p.count() != 1 {
			t.Errorf("got %q after %d refreshes", got, p.count())
		}
	})
}

// A resource that refuses every token must not cost a refresh for each request.
func TestAReplacementThatIsRefusedSoonStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		p, b := newIDP(), newBackend()
		s, other := core.NewStore(b, calm()), core.NewStore(handle(b.store), calm())
		p.signIn(t, s, "k", "ana")
		began := time.Now()
		for range 1000 {
			for _, store := range []*core.Store{s, other} {
				ts := store.TokenSource("k", ana(), p.refresh)
				if _, err := ts.Token(ctx, core.Rejected(tokencache.Secret(mustToken(t, ts)))); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(100 * time.Millisecond)
		}
		if most := 2 * (1 + int(time.Since(began)/time.Minute)); p.count() > most {
			t.Errorf("%d refreshes in %v by two processes", p.count(), time.Since(began))
		}
		// New claims are another matter, and so is a caller who insists.
		ts := s.TokenSource("k", ana(), p.refresh)
		for _, replace := range []func(tokencache.Secret) (tokencache.AccessToken, error){
			func(old tokencache.Secret) (tokencache.AccessToken, error) {
				return ts.Token(ctx, core.Rejected(old), core.Claims(`{"access_token":{"nbf":{"essential":true}}}`))
			},
			func(old tokencache.Secret) (tokencache.AccessToken, error) {
				return ts.Refresh(ctx, core.Rejected(old))
			},
		} {
			old := tokencache.Secret(mustToken(t, ts))
			if at, err := replace(old); err != nil || at.Secret == old {
				t.Errorf("%q after %q, %v", at.Secret.Reveal(), old.Reveal(), err)
			}
		}
	})
}

// Both may have been revoked at once. The simulation found it.
func TestATokenThatWasOnlyFoundIsReplacedWhenItIsRefusedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		p, b := newIDP(), newBackend()
		s, other := core.NewStore(b, calm()), core.NewStore(handle(b.store), calm())
		p.signIn(t, s, "k", "ana")
		ts := s.TokenSource("k", ana(), p.refresh)
		first := tokencache.Secret(mustToken(t, ts))
		if _, err := other.TokenSource("k", ana(), p.refresh).Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		found := tokencache.Secret(mustToken(t, ts, core.Rejected(first)))
		if got := mustToken(t, ts, core.Rejected(found)); found != "at-ana-1" || got != "at-ana-2" {
			t.Errorf("%q, and when it was refused %q", found.Reveal(), got)
		}
	})
}

func TestATokenObtainedMomentsAgoThatIsRefusedStands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend(), calm())
		p.signIn(t, s, "k", "ana")
		time.Sleep(2 * time.Hour)
		ts := s.TokenSource("k", ana(), p.refresh)
		old := tokencache.Secret(mustToken(t, ts))
		if got := mustToken(t, ts, core.Rejected(old)); got != old.Reveal() || p.count() != 1 {
			t.Errorf("at once: %q after %d refreshes", got, p.count())
		}
		time.Sleep(time.Minute)
		if got := mustToken(t, ts, core.Rejected(old)); got == old.Reveal() || p.count() != 2 {
			t.Errorf("a minute later: %q after %d refreshes", got, p.count())
		}
	})
}

func TestMachinesWhoseClocksDifferUseEachOthersTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		p, b := newIDP(), newBackend()
		fast := func() time.Time { return time.Now().Add(3 * time.Hour) }
		refresh := func(now func() time.Time) core.RefreshFunc {
			return func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
				p.set(func(p *idp) { p.now = now })
				return p.refresh(ctx, c, r)
			}
		}
		p.now = fast
		p.signIn(t, core.NewStore(b, core.WithClock(fast)), "k", "ana")
		for range 20 { // in turns, each time a new process
			if _, err := core.NewStore(handle(b.store)).TokenSource("k", ana(), refresh(time.Now)).Token(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := core.NewStore(handle(b.store), core.WithClock(fast)).TokenSource("k", ana(), refresh(fast)).Token(ctx); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
		}
		if p.count() > 4 {
			t.Errorf("%d refreshes in 40 minutes", p.count())
		}
		// However long the fast machine says that its token lives, it is dead after its hour.
		time.Sleep(2 * time.Hour)
		before := p.count()
		if _, err := core.NewStore(handle(b.store)).TokenSource("k", ana(), refresh(time.Now)).Token(ctx); err != nil || p.count() == before {
			t.Errorf("a dead token was trusted: %v", err)
		}
	})
}

func TestScopesInOneTextAreSeveralScopes(t *testing.T) {
	p, b := newIDP(), newBackend()
	s := core.NewStore(b)
	r := p.issue("ana", "1")
	r.Scope = "User.Read Mail.Read"
	if _, err := s.Put(t.Context(), "k", r); err != nil {
		t.Fatal(err)
	}
	for _, scopes := range [][]string{{"User.Read Mail.Read"}, {"User.Read, Mail.Read"}, {" User.Read", "", "Mail.Read "}, {"User.Read,Mail.Read"}} {
		q := ana()
		q.Scopes = scopes
		if _, err := s.TokenSource("k", q, nil).Token(t.Context()); err != nil {
			t.Errorf("%q: %v", scopes, err)
		}
	}
}

// scoped is an error of a refresh function that says whom it concerns.
type scoped struct {
	error
	scope core.FailureScope
	retry time.Duration
}

func (e scoped) FailureScope() core.FailureScope { return e.scope }
func (e scoped) RetryAfter() time.Duration       { return e.retry }
func (e scoped) Unwrap() error                   { return e.error }

func TestAFailureConcernsNobodyElse(t *testing.T) {
	refused := errors.New("refused")
	for _, row := range []struct {
		what                        string
		err                         error
		sameQuery, sameUser, others bool // are refused without being tried
	}{
		{"an error that says nothing of its scope", refused, true, false, false},
		{"a sign-in that is required", core.ErrReauthRequired, true, false, false},
		{"what is wrong with the request", scoped{refused, core.FailureOfRequest, 0}, true, false, false},
		{"a refresh token that is refused", scoped{core.ErrReauthRequired, core.FailureOfUser, 0}, true, true, false},
		{"a provider that is overloaded", scoped{refused, core.FailureOfProvider, 0}, true, true, true},
		{"a provider that can't be reached", context.DeadlineExceeded, true, true, true},
		{"a request that was cancelled on its way", &url.Error{Op: "Post", Err: context.Canceled}, true, true, true},
		{"a provider that tells when to come back", scoped{refused, 0, time.Minute}, true, true, true},
	} {
		t.Run(row.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newIDP()
				s := core.NewStore(newBackend(), calm())
				p.signIn(t, s, "k", "ana", "bo")
				time.Sleep(2 * time.Hour)
				mail := ana()
				mail.Scopes = []string{"Mail.Read"}
				for i, source := range []struct {
					q       tokencache.Query
					refused bool
				}{{mail, false}, {mail, row.sameQuery}, {ana(), row.sameUser}, {bo(), row.others}} {
					tried := false
					_, err := s.TokenSource("k", source.q, func(context.Context, *tokencache.Cache, core.Refresh) error {
						tried = true
						return row.err
					}).Token(t.Context())
					if tried == source.refused || !errors.Is(err, row.err) {
						t.Errorf("source %d: tried %t, %v", i, tried, err)
					}
				}
			})
		})
	}
}

// Two providers may keep tokens in one record, and know a user by the same ID.
func TestAFailureOfOneProviderIsNotTheOthers(t *testing.T) {
	for _, scope := range []core.FailureScope{core.FailureOfUser, core.FailureOfProvider} {
		synctest.Test(t, func(t *testing.T) {
			p := newIDP()
			s := core.NewStore(newBackend(), calm())
			for _, host := range []string{"login.microsoftonline.com", "idp.example.com"} {
				r := p.issue("ana", host)
				r.Environment, r.GrantType = host, "authorization_code"
				if _, err := s.Put(t.Context(), "k", r); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(2 * time.Hour)
			refused := scoped{errors.New("refused"), scope, time.Minute}
			for _, host := range []string{"login.microsoftonline.com", "idp.example.com"} {
				q, tried := ana(), 0
				q.Environment = host
				for _, scopes := range [][]string{{"User.Read"}, {"Mail.Read"}} {
					q.Scopes = scopes
					_, err := s.TokenSource("k", q, func(context.Context, *tokencache.Cache, core.Refresh) error {
						tried++
						return refused
					}).Token(t.Context())
					if !errors.Is(err, refused) {
						t.Errorf("%s: %v", host, err)
					}
				}
				if tried != 1 {
					t.Errorf("failure of the %s: %s is asked %d times, want once", scope, host, tried)
				}
			}
		})
	}
}

func TestOneQuerysFailuresDoNotKeepOthersFromBeingRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newIDP()
		s := core.NewStore(newBackend(), calm())
		p.signIn(t, s, "k", "ana", "bo")
		optional := ana()
		optional.Scopes = []string{"Not.Consented"}
		bad := s.TokenSource("k", optional, func(context.Context, *tokencache.Cache, core.Refresh) error { return errors.New("400 invalid_scope") })
		good, other := s.TokenSource("k", ana(), p.refresh), s.TokenSource("k", bo(), p.refresh)
		for range 2 * 3600 {
			_, _ = bad.Token(t.Context())
			mustToken(t, good)
			mustToken(t, other)
			synctest.Wait()
			time.Sleep(time.Second)
		}
	})
}

func TestAProvidersRetryAfterSetsTheBackOff(t *testing.T) {
	for _, row := range []struct {
		wait       time.Duration
		least, max int // requests in five minutes, asked ten times a second
	}{
		{0, 8, 12},
		{30 * time.Second, 8, 10},
		{2 * time.Minute, 3, 3},
		{100 * 24 * time.Hour, 1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newIDP()
			s := core.NewStore(newBackend(), calm())
			p.signIn(t, s, "k", "ana", "bo")
			time.Sleep(2 * time.Hour)
			requests := 0
			fail := func(context.Context, *tokencache.Cache, core.Refresh) error {
				requests++
				return scoped{errors.New("429"), core.FailureOfProvider, row.wait}
			}
			sources := []*core.TokenSource{s.TokenSource("k", ana(), fail), s.TokenSource("k", bo(), fail)}
			for range 3000 {
				for _, ts := range sources {
					_, _ = ts.Token(t.Context())
				}
				time.Sleep(100 * time.Millisecond)
			}
			if requests < row.least || requests > row.max {
				t.Errorf("Retry-After %v: %d requests", row.wait, requests)
			}
			// An hour at most: what is demanded may be a mistake.
			time.Sleep(time.Hour)
			mustToken(t, s.TokenSource("k", ana(), p.refresh))
		})
	}
}

func TestARefusedClaimsChallengeSaysNothingOfRequestsWithoutIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		p := newIDP()
		s := core.NewStore(newBackend(), calm())
		p.signIn(t, s, "k", "ana")
		tried := 0
		ts := s.TokenSource("k", ana(), func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
			tried++
			if r.Claims == "mfa" {
				return scoped{core.ErrReauthRequired, core.FailureOfUser, 0}
			}
			return p.refresh(ctx, c, r)
		})
		old := tokencache.Secret(mustToken(t, ts))
		for range 2 {
			if _, err := ts.Token(ctx, core.Rejected(old), core.Claims("mfa")); !errors.Is(err, core.ErrReauthRequired) {
				t.Error(err)
			}
		}
		if tried != 1 {
			t.Errorf("the refused challenge was tried %d times", tried)
		}
		for _, claims := range []string{"location", ""} {
			if at, err := ts.Token(ctx, core.Rejected(old), core.Claims(claims)); err != nil || at.Secret == old {
				t.Errorf("a 401 with the claims %q: %v", claims, err)
			}
		}
	})
}

func TestAClockThatIsSetBackDoesNotMakeAFailureLast(t *testing.T) {
	p, b := newIDP(), newBackend()
	now := time.Now().Add(2 * time.Hour)
	s := core.NewStore(b, core.WithClock(func() time.Time { return now }))
	p.signIn(t, s, "k", "ana")
	p.err = errors.New("503")
	ts := s.TokenSource("k", ana(), p.refresh)
	if _, err := ts.Token(t.Context()); !errors.Is(err, p.err) {
		t.Fatal(err)
	}
	now = now.Add(-30 * time.Minute) // the token has expired by then, too
	p.err = nil
	mustToken(t, ts)
}

func TestACallerWhoWaitedTooLongGetsNoDeadToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := newIDP(), newBackend()
		hanging := &awkward{backend: b}
		s := core.NewStore(hanging, calm())
		p.signIn(t, s, "k", "ana")
		ts := s.TokenSource("k", ana(), p.refresh)
		mustToken(t, ts)
		time.Sleep(59 * time.Minute)
		hanging.load = func(ctx context.Context, _ string) (core.Record, error) {
			<-ctx.Done()
			return core.Record{}, ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if at, err := ts.Token(ctx, core.MinValidity(30*time.Minute)); err == nil {
			t.Errorf("got %q, which has expired", at.Secret.Reveal())
		}
	})
}

func TestAChangeThatAnotherProcessMadeIsSeenByAnUpdateThatRepeatsIt(t *testing.T) {
	ctx := context.Background()
	p, b := newIDP(), newBackend()
	s, other := core.NewStore(b), core.NewStore(handle(b.store))
	p.signIn(t, s, "k", "ana", "bo")
	ts := s.TokenSource("k", ana(), p.refresh)
	mustToken(t, ts)
	for _, store := range []*core.Store{other, s} {
		if err := store.Update(ctx, "k", remove(ana())); err != nil {
			t.Fatal(err)
		}
	}
	if at, err := ts.Token(ctx); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("signed out twice, and got %q, %v", at.Secret.Reveal(), err)
	}
}

package oauth2_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/adapters/oauth2"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	xoauth2 "golang.org/x/oauth2"
)

func newBackend(t testing.TB) *memory.Backend {
	t.Helper()
	b, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newClient(t testing.TB, store *core.Store, cfg *xoauth2.Config) *oauth2.Client {
	t.Helper()
	c, err := oauth2.New(store, "key", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// signIn exchanges a code and puts the token into the record.
func signIn(t testing.TB, c *oauth2.Client, cfg *xoauth2.Config) *xoauth2.Token {
	t.Helper()
	token, err := cfg.Exchange(t.Context(), "code")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	return token
}

// expire makes the record's access token one that has expired, as time would.
func expire(t testing.TB, store *core.Store, c *oauth2.Client) {
	t.Helper()
	err := store.Update(t.Context(), "key", func(cache *tokencache.Cache) error {
		at, ok := cache.AccessToken(c.Query())
		if !ok {
			return errors.New("there is no access token")
		}
		return cache.Put(tokencache.TokenResponse{AccessToken: at.Secret.Reveal(), Extra: at.Extra.Reveal(), ExpiresIn: -1, Tenant: at.Realm,
			ClientID: at.ClientID, Environment: at.Environment, HomeAccountID: at.HomeAccountID, GrantType: "refresh_token"})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRefreshesOfAnyProviderAreStored(t *testing.T) {
	for _, k := range []kind{google, gitHub, strict} {
		for _, style := range []xoauth2.AuthStyle{xoauth2.AuthStyleAutoDetect, xoauth2.AuthStyleInParams, xoauth2.AuthStyleInHeader} {
			if k.inForm && style == xoauth2.AuthStyleInHeader || !k.inForm && style == xoauth2.AuthStyleInParams {
				continue // the provider refuses these
			}
			t.Run(fmt.Sprintf("%s, style %d", k.name, style), func(t *testing.T) {
				p := start(t, k)
				cfg := p.config()
				cfg.Endpoint.AuthStyle = style
				backend := newBackend(t)
				signIn(t, newClient(t, core.NewStore(backend), cfg), cfg)
				for round := 2; round <= 4; round++ {
					store := core.NewStore(backend) // of another process
					fresh := *p.config()            // which has learnt nothing of the provider
					fresh.Endpoint.AuthStyle = style
					c := newClient(t, store, &fresh)
					expire(t, store, c)
					token, err := c.TokenSource(t.Context()).Token()
					if err != nil {
						t.Fatalf("round %d: %v", round, err)
					}
					if want := fmt.Sprintf("access-%d", round); token.AccessToken != want || time.Until(token.Expiry) < 59*time.Minute || token.Type() != "Bearer" || token.RefreshToken != "" {
						t.Errorf("round %d: %q until %v, of type %q", round, token.AccessToken, token.Expiry, token.Type())
					}
					if scope := token.Extra("scope"); scope != "openid files" {
						t.Errorf("round %d: the scope is %v", round, scope)
					}
					if team := token.Extra("team"); team != "Ä&1" { // of the sign-in's answer
						t.Errorf("round %d: the team is %v", round, team)
					}
				}
				if p.revoked {
					t.Error("a spent refresh token was sent")
				}
			})
		}
	}
}

func TestTheExtraMembersComeBackAsTheyWere(t *testing.T) {
	for _, k := range []kind{google, gitHub, strict, plain} {
		t.Run(k.name, func(t *testing.T) {
			p := start(t, k)
			cfg := p.config()
			store := core.NewStore(newBackend(t))
			c := newClient(t, store, cfg)
			given := signIn(t, c, cfg)
			got, err := c.TokenSource(t.Context()).Token()
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"team", "number", "scope", "id_token", "token_type", "expires_in", "nothing"} {
				if want, got := given.Extra(name), got.Extra(name); got != want {
					t.Errorf("%s is %v (%T), was %v (%T)", name, got, got, want, want)
				}
			}
			if given.Extra("team") == nil || got.TokenType != given.TokenType || got.Expiry.IsZero() != given.Expiry.IsZero() {
				t.Errorf("the token is %v of type %q, was %v of type %q", got.Expiry, got.TokenType, given.Expiry, given.TokenType)
			}
			for _, name := range []string{"access_token", "refresh_token"} {
				if again := got.Extra(name); again != nil && again != "" {
					t.Errorf("the %s is kept twice", name)
				}
			}
		})
	}
}

func TestATokenThatWasMadeByHandHasNoExtraMembers(t *testing.T) {
	p := start(t, strict)
	c := newClient(t, core.NewStore(newBackend(t)), p.config())
	for _, token := range []*xoauth2.Token{
		{AccessToken: "at"}, (&xoauth2.Token{AccessToken: "at"}).WithExtra(3), (&xoauth2.Token{AccessToken: "at"}).WithExtra(map[int]string{1: "x"}),
	} {
		if err := c.Put(t.Context(), token); err != nil {
			t.Fatal(err)
		}
		if got, err := c.TokenSource(t.Context()).Token(); err != nil || got.AccessToken != "at" || got.Extra("x") != nil {
			t.Errorf("%v", err)
		}
	}
}

func TestATokenWithoutAnExpiryIsServedForever(t *testing.T) {
	p := start(t, plain)
	cfg := p.config()
	backend := newBackend(t)
	signIn(t, newClient(t, core.NewStore(backend), cfg), cfg)
	for years := range 3 {
		store := core.NewStore(backend)
		c := newClient(t, store, cfg)
		if years > 0 {
			expire(t, store, c) // as the record has it after a year
		}
		token, err := c.TokenSource(t.Context()).Token()
		if err != nil || token.AccessToken != "access-1" || !token.Expiry.IsZero() || token.Extra("team") != "Ä&1" {
			t.Errorf("after %d years: %v", years, err)
		}
		cache, _, err := store.Load(t.Context(), "key")
		if err != nil {
			t.Fatal(err)
		}
		if at, _ := cache.AccessToken(c.Query()); time.Until(at.ExpiresOn) < 364*24*time.Hour {
			t.Errorf("after %d years: the record has it until %v", years, at.ExpiresOn)
		}
	}
	if n := p.refreshes(); n != 0 {
		t.Errorf("%d refreshes", n)
	}
}

func TestATokenWithoutAnExpiryThatIsRefusedIsReplaced(t *testing.T) {
	k := strict
	k.endless = true
	p := start(t, k)
	cfg := p.config()
	c := newClient(t, core.NewStore(newBackend(t)), cfg)
	signIn(t, c, cfg)
	p.mu.Lock()
	p.n++ // the token that was given is good no longer
	p.mu.Unlock()
	resp, err := c.HTTPClient(t.Context()).Get(p.URL + "/resource")
	if err != nil || resp.StatusCode != http.StatusOK || p.refreshes() != 1 {
		t.Errorf("%v, %d refreshes", err, p.refreshes())
	}
}

func TestAnExpiredTokenCanBeImported(t *testing.T) {
	p := start(t, strict)
	p.refresh = "refresh-old"
	c := newClient(t, core.NewStore(newBackend(t)), p.config())
	if err := c.Put(t.Context(), &xoauth2.Token{AccessToken: "old", RefreshToken: "refresh-old", Expiry: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	token, err := c.TokenSource(t.Context()).Token()
	if err != nil || token.AccessToken != "access-1" {
		t.Errorf("%v", err)
	}
}

func TestManyShareOneRefresh(t *testing.T) {
	p := start(t, strict)
	backend := newBackend(t)
	store := core.NewStore(backend)
	cfg := p.config()
	c := newClient(t, store, cfg)
	signIn(t, c, cfg)
	for expiry := 1; expiry <= 3; expiry++ {
		expire(t, store, c)
		var wg sync.WaitGroup
		for range 16 { // processes, each with a store of its own
			source := newClient(t, core.NewStore(backend), p.config()).TokenSource(t.Context())
			for range 8 {
				wg.Go(func() {
					if token, err := source.Token(); err != nil || token.AccessToken != fmt.Sprintf("access-%d", expiry+1) {
						t.Errorf("%v", err)
					}
				})
			}
		}
		wg.Wait()
		if p.revoked {
			t.Fatal("a spent refresh token was sent")
		}
		p.mu.Lock()
		given := p.n
		p.mu.Unlock()
		if given != expiry+1 {
			t.Fatalf("expiry %d: %d tokens were given", expiry, given)
		}
	}
}

func TestClientsOfOneConfigFindTheAuthStyleOnce(t *testing.T) {
	p := start(t, google) // refuses the credentials where they are tried first
	cfg := p.config()
	store := core.NewStore(newBackend(t))
	signIn(t, newClient(t, store, p.config()), p.config()) // elsewhere: cfg has learnt nothing
	for request := range 3 {
		c := newClient(t, store, cfg) // one per request, as a web server has it
		expire(t, store, c)
		if _, err := c.TokenSource(t.Context()).Token(); err != nil {
			t.Fatal(err)
		}
		if n, want := p.refreshes(), request+2; n != want {
			t.Errorf("after %d refreshes %d requests, want %d", request+1, n, want)
		}
	}
}

func TestADeviceCodesTokenIsKept(t *testing.T) {
	p := start(t, strict)
	cfg := p.config()
	c := newClient(t, core.NewStore(newBackend(t)), cfg)
	device, err := cfg.DeviceAuth(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, err := cfg.DeviceAccessToken(t.Context(), device)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), token); err != nil {
		t.Fatal(err)
	}
	if got, err := c.TokenSource(t.Context()).Token(); err != nil || got.AccessToken != token.AccessToken {
		t.Errorf("%v", err)
	}
}

func TestANewSignInTakesThePlaceOfTheOld(t *testing.T) {
	ana, bo := idToken("sub-ana", "ana@example.com"), idToken("sub-bo", "bo@example.com")
	token := func(access, refresh, id string) *xoauth2.Token {
		t := &xoauth2.Token{AccessToken: access, RefreshToken: refresh, Expiry: time.Now().Add(time.Minute)}
		if id != "" {
			t = t.WithExtra(map[string]any{"id_token": id})
		}
		return t
	}
	for _, row := range []struct {
		that          string
		first, second *xoauth2.Token
		refresh       string
	}{
		{"with its refresh token", token("1", "r1", ana), token("2", "r2", ana), "r2"},
		{"another user's, too", token("1", "r1", ana), token("2", "r2", bo), "r2"},
		{"without one the same user's stays", token("1", "r1", ana), token("2", "", ana), "r1"},
		{"without one another user's doesn't stay", token("1", "r1", ana), token("2", "", bo), ""},
		{"without id tokens the refresh token stays", token("1", "r1", ""), token("2", "", ""), "r1"},
		{"an id token that can't be read is no reason to lose the tokens", token("1", "r1", ""), token("2", "r2", "a.b.c"), "r2"},
	} {
		t.Run(row.that, func(t *testing.T) {
			store := core.NewStore(newBackend(t))
			c := newClient(t, store, start(t, strict).config())
			for _, token := range []*xoauth2.Token{row.first, row.second} {
				if err := c.Put(t.Context(), token); err != nil {
					t.Fatal(err)
				}
			}
			cache, _, err := store.Load(t.Context(), "key")
			if err != nil {
				t.Fatal(err)
			}
			rt, _ := cache.RefreshToken(c.Query())
			at, _ := cache.AccessToken(c.Query())
			if rt.Secret.Reveal() != row.refresh || at.Secret != "2" || len(cache.Accounts()) != 1 {
				t.Errorf("the refresh token is %q, the access token %q", rt.Secret.Reveal(), at.Secret.Reveal())
			}
		})
	}
}

func TestTwoClientsShareARecord(t *testing.T) {
	p := start(t, strict)
	store := core.NewStore(newBackend(t))
	other := p.config()
	other.ClientID = "other"
	for name, cfg := range map[string]*xoauth2.Config{"one": p.config(), "two": other} {
		if err := newClient(t, store, cfg).Put(t.Context(), &xoauth2.Token{AccessToken: name, Expiry: time.Now().Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	for want, cfg := range map[string]*xoauth2.Config{"one": p.config(), "two": other} {
		if token, err := newClient(t, store, cfg).TokenSource(t.Context()).Token(); err != nil || token.AccessToken != want {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func TestTheHTTPClientRefreshesWhatTheResourceRefuses(t *testing.T) {
	p := start(t, strict)
	cfg := p.config()
	store := core.NewStore(newBackend(t))
	c := newClient(t, store, cfg)
	signIn(t, c, cfg)
	client := c.HTTPClient(t.Context())
	p.mu.Lock()
	p.n++ // the token that was given is good no longer
	p.mu.Unlock()
	resp, err := client.Post(p.URL+"/resource", "text/plain", strings.NewReader("body"))
	if err != nil || resp.StatusCode != http.StatusOK || p.refreshes() != 1 {
		t.Fatalf("%v, %v, %d refreshes", resp, err, p.refreshes())
	}
}

func TestTheTokenFollowsNoRedirectToAnotherHost(t *testing.T) {
	var leaked string
	away := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked = r.Header.Get("Authorization") }))
	defer away.Close()
	api := httptest.NewServer(http.RedirectHandler(strings.Replace(away.URL, "127.0.0.1", "localhost", 1), http.StatusFound))
	defer api.Close()
	c := newClient(t, core.NewStore(newBackend(t)), start(t, strict).config())
	if err := c.Put(t.Context(), &xoauth2.Token{AccessToken: "at"}); err != nil {
		t.Fatal(err)
	}
	resp, err := c.HTTPClient(t.Context()).Get(api.URL)
	if err != nil || resp.StatusCode != http.StatusOK || leaked != "" {
		t.Errorf("%v, sent: %q", err, leaked)
	}
	if _, err := c.HTTPClient(t.Context()).Get("http://api.example.com/"); err == nil {
		t.Error("the token went over plain http")
	}
}

// counting counts the requests that go over an HTTP client.
type counting struct{ n atomic.Int64 }

func (c *counting) RoundTrip(req *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return http.DefaultTransport.RoundTrip(req)
}

func TestRefreshesGoOverTheContextsHTTPClient(t *testing.T) {
	for that, call := range map[string]func(ctx context.Context, c *oauth2.Client, url string) error{
		"of a token source": func(ctx context.Context, c *oauth2.Client, _ string) error {
			_, err := c.TokenSource(ctx).Token()
			return err
		},
		"of an HTTP client": func(ctx context.Context, c *oauth2.Client, url string) error {
			_, err := c.HTTPClient(ctx).Get(url)
			return err
		},
	} {
		t.Run(that, func(t *testing.T) {
			p := start(t, strict)
			cfg := p.config()
			store := core.NewStore(newBackend(t))
			c := newClient(t, store, cfg)
			signIn(t, c, cfg)
			expire(t, store, c)
			mine := &counting{}
			ctx := context.WithValue(t.Context(), xoauth2.HTTPClient, &http.Client{Transport: mine})
			if err := call(ctx, c, p.URL+"/resource"); err != nil {
				t.Fatal(err)
			}
			if mine.n.Load() == 0 || p.refreshes() != 1 {
				t.Errorf("%d requests over the client, %d refreshes", mine.n.Load(), p.refreshes())
			}
		})
	}
}

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	store := core.NewStore(newBackend(t))
	cfg := func(id, tokenURL string) *xoauth2.Config {
		return &xoauth2.Config{ClientID: id, Endpoint: xoauth2.Endpoint{TokenURL: tokenURL}}
	}
	for _, row := range []struct {
		that  string
		store *core.Store
		key   string
		cfg   *xoauth2.Config
		fine  bool
	}{
		{"https is right", store, "key", cfg("id", "https://example.com/token"), true},
		{"http is, for a loopback host", store, "key", cfg("id", "http://localhost:1/token"), true},
		{"plain http is not", store, "key", cfg("id", "http://example.com/token"), false},
		{"another scheme is not", store, "key", cfg("id", "ftp://127.0.0.1/token"), false},
		{"no token URL", store, "key", cfg("id", ""), false},
		{"no client ID", store, "key", cfg("", "https://example.com/token"), false},
		{"no config", store, "key", nil, false},
		{"no store", nil, "key", cfg("id", "https://example.com/token"), false},
		{"no key", store, "", cfg("id", "https://example.com/token"), false},
	} {
		if _, err := oauth2.New(row.store, row.key, row.cfg); (err == nil) != row.fine {
			t.Errorf("%s: %v", row.that, err)
		}
	}
	c := newClient(t, store, cfg("id", "https://example.com/token"))
	for that, token := range map[string]*xoauth2.Token{"no token": nil, "an empty token": {RefreshToken: "rt"}, "no token at all that a header could hold": {AccessToken: "a\nb"}} {
		if err := c.Put(t.Context(), token); err == nil {
			t.Errorf("%s was put", that)
		}
	}
}

func TestNothingThatPrintsShowsASecret(t *testing.T) {
	p := start(t, strict)
	cfg := p.config()
	c := newClient(t, core.NewStore(newBackend(t)), cfg)
	signIn(t, c, cfg)
	source := c.TokenSource(t.Context())
	if _, err := source.Token(); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v %#v %+v %#v", c, c, source, source)
	for _, secret := range []string{clientSecret, "access-1", "refresh-1"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is shown", secret)
		}
	}
}

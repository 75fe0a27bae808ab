package msal_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// shared is a record of several users, whose access tokens have expired.
func shared(t *testing.T, usernames ...string) (*core.Store, *wire, *entra.Server, func(time.Duration)) {
	t.Helper()
	var ahead atomic.Int64
	clock := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	idp := start(t, entra.Options{Clock: clock})
	w := newWire(idp)
	c := public(t, w, common)
	store := core.NewStore(newMemory(t), core.WithClock(clock))
	for _, username := range usernames {
		err := store.Update(t.Context(), "shared", func(cache *tokencache.Cache) error { return trySignIn(t.Context(), idp, c, cache, username) })
		if err != nil {
			t.Fatal(err)
		}
	}
	ahead.Store(int64(2 * time.Hour))
	return store, w, idp, func(d time.Duration) { ahead.Add(int64(d)) }
}

// Entra answers scopes of two resources in one request with invalid_scope.
func TestARefusedScopeIsNobodyElses(t *testing.T) {
	store, w, _, advance := shared(t, ana, bo)
	c := public(t, w, common)
	refused := store.TokenSource("shared", tokencache.Query{Username: bo, Scopes: []string{"https://a.example/x", "https://b.example/y"}}, c.Refresh)
	for what, q := range map[string]tokencache.Query{"another user": query(ana), "the user's other scopes": query(bo)} {
		source := store.TokenSource("shared", q, c.Refresh)
		for range 120 { // the refused one is asked first, each second
			if _, err := refused.Token(t.Context()); err == nil {
				t.Fatal("the scopes were granted")
			}
			if _, err := source.Token(t.Context()); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			advance(time.Second)
		}
	}
}

func TestALocalMistakeIsNobodyElses(t *testing.T) {
	store, w, _, _ := shared(t, ana)
	c := public(t, w, common)
	wrong := query(ana)
	wrong.ClientID = "00000000-1111-2222-3333-444444444444"
	if _, err := store.TokenSource("shared", wrong, c.Refresh).Token(t.Context()); err == nil {
		t.Fatal("another client's token was given")
	}
	if _, err := store.TokenSource("shared", query(ana), c.Refresh).Token(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestARevokedUserIsNobodyElses(t *testing.T) {
	store, w, idp, _ := shared(t, ana, bo)
	c := public(t, w, common)
	idp.Revoke(bo)
	if _, err := store.TokenSource("shared", query(bo), c.Refresh).Token(t.Context()); !errors.Is(err, core.ErrReauthRequired) {
		t.Fatalf("the error is %v", err)
	}
	asked := w.requestsForTokens()
	again := query(bo)
	again.Scopes = []string{"Mail.Read"}
	if _, err := store.TokenSource("shared", again, c.Refresh).Token(t.Context()); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("the user's other scopes give %v", err)
	}
	if w.requestsForTokens() != asked {
		t.Error("the refused refresh token was sent again")
	}
	if _, err := store.TokenSource("shared", query(ana), c.Refresh).Token(t.Context()); err != nil {
		t.Errorf("another user: %v", err)
	}
}

func TestAProviderThatWantsToBeLeftAloneIs(t *testing.T) {
	store, w, idp, advance := shared(t, ana, bo)
	c := public(t, w, common)
	idp.Inject(entra.Refresh, entra.Throttled(time.Minute))
	if _, err := store.TokenSource("shared", query(bo), c.Refresh).Token(t.Context()); err == nil {
		t.Fatal("no error")
	}
	asked := w.requestsForTokens()
	source := store.TokenSource("shared", query(ana), c.Refresh)
	for range 59 {
		if _, err := source.Token(t.Context()); err == nil || w.requestsForTokens() != asked {
			t.Fatalf("the provider was asked again: %v", err)
		}
		advance(time.Second)
	}
	advance(2 * time.Minute) // and what is added so that not all come back at once
	if _, err := source.Token(t.Context()); err != nil {
		t.Error(err)
	}
}

// frozen are leases that aren't renewed in time, as by a process that sleeps.
type frozen struct{ core.Leaser }

func (f frozen) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	lease, err := f.Leaser.Acquire(ctx, key, ttl)
	return unrenewed{lease}, err
}

type unrenewed struct{ core.Lease }

func (unrenewed) Renew(context.Context, time.Duration) error { return errors.New("asleep") }

// The process falls asleep in discovery, and another may have refreshed by the time
// it wakes.
func TestAProcessThatOversleptItsLeaseAsksAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 10 * time.Second
		slept, sent := false, 0
		backend := core.WithLeaser(newMemory(t), frozen{new(backend.LocalLeases)})
		store := core.NewStore(backend, core.WithLeaseTTL(ttl))
		provider := roundTrip(func(req *http.Request) (*http.Response, error) {
			text := `{"token_endpoint":"https://idp.example.com/t/token","authorization_endpoint":"https://idp.example.com/t/authorize","issuer":"https://idp.example.com/t"}`
			switch {
			case req.Method == http.MethodPost:
				sent++
				text = `{"access_token":"fresh","expires_in":3600}`
			case !slept:
				slept = true
				<-time.After(2 * ttl)
				if _, err := store.Put(t.Context(), "k", theirs); err != nil {
					t.Error(err)
				}
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: req}, nil
		})
		c, err := msal.NewPublic("app", msal.WithAuthority("https://idp.example.com/t"),
			msal.WithHTTPClient(&http.Client{Transport: provider}), msal.WithInstanceDiscovery(false))
		if err != nil {
			t.Fatal(err)
		}
		err = store.Update(t.Context(), "k", func(c *tokencache.Cache) error {
			c.Replace(signedIn(t))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Hour)
		token, err := store.TokenSource("k", tokencache.Query{Scopes: []string{"User.Read"}}, c.Refresh).Token(t.Context())
		if err != nil || token.Secret.Reveal() != "theirs" || sent != 0 {
			t.Errorf("the token is %q, %d requests for tokens, and the error %v; want theirs and none", token.Secret.Reveal(), sent, err)
		}
	})
}

// theirs is what another process stored meanwhile.
var theirs = tokencache.TokenResponse{
	AccessToken: "theirs", RefreshToken: "next", Scope: "User.Read", ExpiresIn: 3600, ClientID: "app", Environment: "idp.example.com", Tenant: "t", HomeAccountID: "uid.utid",
}

func newMemory(t testing.TB) *memory.Backend {
	t.Helper()
	b, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestASourceOfAClientHasNothingOfAnotherProviders(t *testing.T) {
	store := core.NewStore(newMemory(t))
	if _, err := store.Put(t.Context(), "k", theirs); err != nil {
		t.Fatal(err)
	}
	q := tokencache.Query{Scopes: []string{"User.Read"}}
	own := atExample(t, nil)
	if token, err := own.TokenSource(store, "k", q).Token(t.Context()); err != nil || token.Secret.Reveal() != "theirs" {
		t.Errorf("the provider's own client gets %q: %v", token.Secret.Reveal(), err)
	}
	other, err := msal.NewPublic("app")
	if err != nil {
		t.Fatal(err)
	}
	if token, err := other.TokenSource(store, "k", q).Token(t.Context()); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("Microsoft's client gets %q: %v", token.Secret.Reveal(), err)
	}
}

func TestASourceOfAnApplicationHasNothingOfAnotherTenants(t *testing.T) {
	store := core.NewStore(newMemory(t))
	for _, tenant := range []string{"one", "two"} {
		_, err := store.Put(t.Context(), "k", tokencache.TokenResponse{
			AccessToken: tenant, ExpiresIn: 3600, ClientID: "app", Tenant: tenant, Scope: graphApp, GrantType: "client_credentials",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	q := tokencache.Query{App: true, Scopes: []string{graphApp}}
	for _, tenant := range []string{"one", "two"} {
		client, err := msal.NewPublic("app", msal.WithAuthority("https://login.microsoftonline.com/"+tenant))
		if err != nil {
			t.Fatal(err)
		}
		if token, err := client.TokenSource(store, "k", q).Token(t.Context()); token.Secret.Reveal() != tenant {
			t.Errorf("the client of tenant %s gets %q: %v", tenant, token.Secret.Reveal(), err)
		}
	}
	q.Tenant = "two"
	client, err := msal.NewPublic("app", msal.WithAuthority("https://login.microsoftonline.com/one"))
	if err != nil {
		t.Fatal(err)
	}
	if token, err := client.TokenSource(store, "k", q).Token(t.Context()); token.Secret.Reveal() != "two" {
		t.Errorf("the query's tenant gets %q: %v", token.Secret.Reveal(), err)
	}
}

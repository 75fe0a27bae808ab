package azcore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestACredentialIsAskedOncePerExpiryByAll(t *testing.T) {
	c := anas()
	backend, now := newBackend(t), time.Now()
	clock := func() time.Time { return now }
	const processes, callers = 16, 8
	var sources []*core.TokenSource
	for range processes { // each with a store of its own, as a process has
		store := core.NewStore(backend, core.WithClock(clock))
		for range callers {
			sources = append(sources, store.TokenSource("key", tokencache.Query{Scopes: []string{graph}}, azcore.Refresh(c)))
		}
	}
	for expiry := 1; expiry <= 3; expiry++ {
		tokens := make(chan tokencache.Secret, len(sources))
		var wg sync.WaitGroup
		for _, source := range sources {
			wg.Go(func() {
				token, err := source.Token(t.Context())
				if err != nil {
					t.Error(err)
				}
				tokens <- token.Secret
			})
		}
		wg.Wait()
		close(tokens)
		want := tokencache.Secret(userToken(anaID, "ana@contoso.com", expiry))
		for token := range tokens {
			if token != want {
				t.Fatalf("expiry %d: another token", expiry)
			}
		}
		if asked := len(c.requests()); asked != expiry {
			t.Fatalf("expiry %d: asked %d times", expiry, asked)
		}
		now = now.Add(2 * time.Hour)
		c.answer = func(n int, _ policy.TokenRequestOptions) (sdk.AccessToken, error) {
			return sdk.AccessToken{Token: userToken(anaID, "ana@contoso.com", n), ExpiresOn: now.Add(time.Hour)}, nil
		}
	}
}

func TestTheCredentialIsAskedUnderTheLease(t *testing.T) {
	backend := newBackend(t)
	c := anas()
	answer := c.answer
	c.answer = func(n int, o policy.TokenRequestOptions) (sdk.AccessToken, error) {
		leaser, ok := core.As[core.Leaser](backend)
		if !ok {
			t.Error("the backend has no leases")
			return answer(n, o)
		}
		if lease, err := leaser.Acquire(t.Context(), "key", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("nobody holds the lease: %v, %v", lease, err)
		}
		return answer(n, o)
	}
	source := core.NewStore(backend).TokenSource("key", tokencache.Query{Scopes: []string{graph}}, azcore.Refresh(c))
	if _, err := source.Token(t.Context()); err != nil || len(c.requests()) != 1 {
		t.Errorf("asked %d times, %v", len(c.requests()), err)
	}
}

func TestTheRequestIsPassedOn(t *testing.T) {
	for _, row := range []struct {
		that string
		r    core.Refresh
		want policy.TokenRequestOptions
	}{
		{"scopes and claims", core.Refresh{Query: tokencache.Query{Scopes: []string{graph}}, Claims: claimsChallenge},
			policy.TokenRequestOptions{Scopes: []string{graph}, Claims: claimsChallenge}},
		{"a tenant", core.Refresh{Query: tokencache.Query{Scopes: []string{vault}, Tenant: tenant}},
			policy.TokenRequestOptions{Scopes: []string{vault}, TenantID: tenant}},
		{"a word for the home tenant is none", core.Refresh{Query: tokencache.Query{Scopes: []string{vault}, Tenant: "common"}},
			policy.TokenRequestOptions{Scopes: []string{vault}}},
		{"without scopes, those of the token that is there", core.Refresh{}, policy.TokenRequestOptions{Scopes: []string{graph}}},
	} {
		t.Run(row.that, func(t *testing.T) {
			c, cache := anas(), tokencache.New()
			old := core.Refresh{Query: tokencache.Query{Scopes: []string{graph}}}
			if err := azcore.Refresh(anas())(t.Context(), cache, old); err != nil {
				t.Fatal(err)
			}
			if err := azcore.Refresh(c)(t.Context(), cache, row.r); err != nil {
				t.Fatal(err)
			}
			got := c.requests()[0]
			if strings.Join(got.Scopes, " ") != strings.Join(row.want.Scopes, " ") || got.Claims != row.want.Claims || got.TenantID != row.want.TenantID || got.EnableCAE {
				t.Errorf("asked for %+v, want %+v", got, row.want)
			}
		})
	}
}

func TestATokenIsFiledWhereItsQueryFindsIt(t *testing.T) {
	user := userToken(anaID, "ana@contoso.com", 1)
	ofApp := jwt(map[string]any{"oid": boID, "tid": tenant, "azp": "app", "idtyp": "app"})
	home := anaID + "." + tenant
	for _, row := range []struct {
		that, token           string
		q                     tokencache.Query
		homeAccountID, client string
	}{
		{"a user's token for a query that names nobody", user, tokencache.Query{}, home, cli},
		{"by the name that the token tells", user, tokencache.Query{Username: "Ana@contoso.com"}, home, cli},
		{"by the account, the client and the tenant", user, tokencache.Query{HomeAccountID: home, ClientID: cli, Tenant: tenant}, home, cli},
		{"under a domain, if the query names the tenant so", user, tokencache.Query{Tenant: "contoso.com"}, home, cli},
		{"a token that tells nothing", opaque(1), tokencache.Query{}, "azcore-credential", "azcore-credential"},
		{"a token that tells nothing, as the query has it", opaque(1), tokencache.Query{HomeAccountID: home, ClientID: "app"}, home, "app"},
		{"a JWT that can't be read", "a.b.c", tokencache.Query{}, "azcore-credential", "azcore-credential"},
		{"claims of another type are none", jwt(map[string]any{"oid": 1, "tid": []string{"x"}}), tokencache.Query{}, "azcore-credential", "azcore-credential"},
		{"an application's token for the application", ofApp, tokencache.Query{App: true}, "", "app"},
		{"an application's token that tells nothing", opaque(1), tokencache.Query{App: true}, "", "azcore-credential"},
		{"a service principal for a query that names nobody", ofApp, tokencache.Query{}, boID + "." + tenant, "app"},
		{"another cloud", user, tokencache.Query{Environment: "login.microsoftonline.us"}, home, cli},
	} {
		t.Run(row.that, func(t *testing.T) {
			c := &fake{answer: func(int, policy.TokenRequestOptions) (sdk.AccessToken, error) {
				return sdk.AccessToken{Token: row.token, ExpiresOn: time.Now().Add(time.Hour)}, nil
			}}
			row.q.Scopes = []string{graph}
			store := core.NewStore(newBackend(t))
			token, err := store.TokenSource("key", row.q, azcore.Refresh(c)).Token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if token.Secret.Reveal() != row.token || token.HomeAccountID != row.homeAccountID || token.ClientID != row.client {
				t.Errorf("filed under %q of client %q", token.HomeAccountID, token.ClientID)
			}
			if time.Until(token.ExpiresOn) < 59*time.Minute {
				t.Errorf("it expires at %v", token.ExpiresOn)
			}
		})
	}
}

func TestSomebodyElsesTokenIsRefused(t *testing.T) {
	user := userToken(boID, "bo@contoso.com", 1)
	for _, row := range []struct {
		that, token string
		q           tokencache.Query
		reauth      bool
	}{
		{"another user by name", user, tokencache.Query{Username: "ana@contoso.com"}, true},
		{"another user by ID", user, tokencache.Query{HomeAccountID: anaID + "." + tenant}, true},
		{"a token that doesn't tell its user's name", opaque(1), tokencache.Query{Username: "ana@contoso.com"}, true},
		{"another client", user, tokencache.Query{ClientID: "app"}, false},
		{"another tenant", user, tokencache.Query{Tenant: guest}, false},
		{"a user's for an application", user, tokencache.Query{App: true}, false},
	} {
		t.Run(row.that, func(t *testing.T) {
			c := &fake{answer: func(int, policy.TokenRequestOptions) (sdk.AccessToken, error) {
				return sdk.AccessToken{Token: row.token, ExpiresOn: time.Now().Add(time.Hour)}, nil
			}}
			row.q.Scopes = []string{graph}
			cache := tokencache.New()
			err := azcore.Refresh(c)(t.Context(), cache, core.Refresh{Query: row.q})
			if err == nil || errors.Is(err, core.ErrReauthRequired) != row.reauth || !cache.IsEmpty() {
				t.Errorf("%v", err)
			}
			if err != nil && strings.Contains(err.Error(), row.token) {
				t.Error("the error shows the token")
			}
		})
	}
}

func TestAnExpiredTokenIsNotStored(t *testing.T) {
	c := &fake{answer: func(int, policy.TokenRequestOptions) (sdk.AccessToken, error) {
		return sdk.AccessToken{Token: "at", ExpiresOn: time.Now().Add(-time.Second)}, nil
	}}
	cache := tokencache.New()
	if err := azcore.Refresh(c)(t.Context(), cache, core.Refresh{Query: tokencache.Query{Scopes: []string{graph}}}); err == nil || !cache.IsEmpty() {
		t.Errorf("%v", err)
	}
}

func TestTheUserOfACredentialCanChange(t *testing.T) {
	r := core.Refresh{Query: tokencache.Query{Scopes: []string{graph}}}
	of := func(objectID, name string) core.RefreshFunc {
		return azcore.Refresh(&fake{answer: func(n int, _ policy.TokenRequestOptions) (sdk.AccessToken, error) {
			return sdk.AccessToken{Token: userToken(objectID, name, n), ExpiresOn: time.Now().Add(time.Hour)}, nil
		}})
	}
	cache := tokencache.New()
	for _, f := range []core.RefreshFunc{of(anaID, "ana@contoso.com"), of(boID, "bo@contoso.com")} {
		if err := f(t.Context(), cache, r); err != nil {
			t.Fatal(err)
		}
	}
	if token, ok := cache.AccessToken(r.Query); !ok || token.HomeAccountID != boID+"."+tenant {
		t.Errorf("found: %v, of %s", ok, token.HomeAccountID)
	}
	// A sign-in that only the user can repeat is not thrown away.
	cache = tokencache.New()
	if err := cache.Put(signIn("at")); err != nil {
		t.Fatal(err)
	}
	if err := of(boID, "bo@contoso.com")(t.Context(), cache, r); err == nil || len(cache.Accounts()) != 1 {
		t.Errorf("%v; the accounts are %v", err, cache.Accounts())
	}
}

func TestARejectedTokenIsReplaced(t *testing.T) {
	c, now := anas(), time.Now()
	store := core.NewStore(newBackend(t), core.WithClock(func() time.Time { return now }))
	source := store.TokenSource("key", tokencache.Query{Scopes: []string{graph}}, azcore.Refresh(c))
	first, err := source.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(10 * time.Minute) // one that was obtained moments ago would stand
	second, err := source.Token(t.Context(), core.Rejected(first.Secret))
	if err != nil || second.Secret == first.Secret || len(c.requests()) != 2 {
		t.Errorf("asked %d times, %v", len(c.requests()), err)
	}
}

func TestAnErrorOfTheCredentialStaysReachable(t *testing.T) {
	cause := errors.New("az: line 1\nline 2")
	for _, row := range []struct {
		that   string
		err    error
		reauth bool
	}{
		{"any error", cause, false},
		{"a deadline", context.DeadlineExceeded, false},
		{"a credential of ours whose user must sign in", core.ErrReauthRequired, true},
	} {
		t.Run(row.that, func(t *testing.T) {
			c := &fake{answer: func(int, policy.TokenRequestOptions) (sdk.AccessToken, error) { return sdk.AccessToken{}, row.err }}
			err := azcore.Refresh(c)(t.Context(), tokencache.New(), core.Refresh{Query: tokencache.Query{Scopes: []string{graph}}})
			if !errors.Is(err, row.err) || errors.Is(err, core.ErrReauthRequired) != row.reauth || strings.Contains(err.Error(), "\n") {
				t.Errorf("%q", err)
			}
		})
	}
}

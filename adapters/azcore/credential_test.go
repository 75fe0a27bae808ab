package azcore_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// sources hands out the store's sources of ana's tokens, refreshed by f.
func sources(store *core.Store, f core.RefreshFunc) azcore.SourceFunc {
	return func(scopes ...string) *core.TokenSource {
		return store.TokenSource("key", tokencache.Query{Scopes: scopes}, f)
	}
}

func request(scope string) policy.TokenRequestOptions {
	return policy.TokenRequestOptions{Scopes: []string{scope}}
}

func TestTheDefaultScopeGetsTheResourcesTokenWhateverItsScopes(t *testing.T) {
	store := core.NewStore(newBackend(t))
	put(t, store, signIn("graph"))
	r := signIn("vault")
	r.Scope = "https://vault.azure.net/user_impersonation"
	put(t, store, r)
	c := azcore.New(sources(store, nil), azcore.Options{})
	for scope, want := range map[string]string{graph: "graph", "User.Read": "graph", vault: "vault"} {
		token, err := c.GetToken(t.Context(), request(scope))
		if err != nil || token.Token != want || time.Until(token.ExpiresOn) < 50*time.Minute || token.ExpiresOn.Location() != time.UTC {
			t.Errorf("%s: %q until %v, %v", scope, token.Token, token.ExpiresOn, err)
		}
	}
}

func TestSourcesAreAskedOnceForEachSetOfScopes(t *testing.T) {
	store := core.NewStore(newBackend(t))
	put(t, store, signIn("graph"))
	var asked []string
	c := azcore.New(azcore.SourceFunc(func(scopes ...string) *core.TokenSource {
		asked = append(asked, strings.Join(scopes, " "))
		return sources(store, nil)(scopes...)
	}), azcore.Options{})
	for range 3 {
		for _, scopes := range [][]string{{graph}, {"User.Read", "Mail.Read"}} {
			if _, err := c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: scopes, EnableCAE: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(asked) != 2 {
		t.Errorf("asked for %q", asked)
	}
}

func TestATokenOfAnotherTenantIsRefused(t *testing.T) {
	for _, row := range []struct {
		that, realm, want string
		served            bool
	}{
		{"the tenant that the token is filed under", tenant, tenant, true},
		{"letter case doesn't matter", tenant, strings.ToUpper(tenant), true},
		{"a word for the home tenant is the home tenant", "common", tenant, true},
		{"a request without a tenant takes any", guest, "", true},
		{"another tenant", tenant, guest, false},
		{"another tenant than home", "organizations", guest, false},
	} {
		t.Run(row.that, func(t *testing.T) {
			store := core.NewStore(newBackend(t))
			r := signIn("at")
			r.Tenant = row.realm
			put(t, store, r)
			c := azcore.New(sources(store, nil), azcore.Options{})
			token, err := c.GetToken(t.Context(), policy.TokenRequestOptions{Scopes: []string{graph}, TenantID: row.want})
			var refused *azcore.AuthenticationFailedError
			if served := err == nil && token.Token == "at"; served != row.served || !served && !errors.As(err, &refused) {
				t.Errorf("the token %q, %v", token.Token, err)
			}
		})
	}
}

func TestChooseDecidesByTenantAndCAE(t *testing.T) {
	store := core.NewStore(newBackend(t))
	for _, r := range []struct{ tenant, token string }{{tenant, "home"}, {guest, "guest"}} {
		response := signIn(r.token)
		response.Tenant = r.tenant
		put(t, store, response)
	}
	of := func(tenantID string) azcore.Sources {
		return azcore.SourceFunc(func(scopes ...string) *core.TokenSource {
			return store.TokenSource("key", tokencache.Query{Tenant: tenantID, Scopes: scopes}, nil)
		})
	}
	c := azcore.New(nil, azcore.Options{Choose: func(tenantID string, enableCAE bool) azcore.Sources {
		switch {
		case enableCAE:
			return of(guest)
		case tenantID == "contoso.com":
			return of(tenant)
		}
		return nil
	}})
	for _, row := range []struct {
		that string
		o    policy.TokenRequestOptions
		want string
	}{
		{"a tenant has its sources, by whatever name", policy.TokenRequestOptions{TenantID: "contoso.com"}, "home"},
		{"CAE has its own", policy.TokenRequestOptions{TenantID: "contoso.com", EnableCAE: true}, "guest"},
		{"no sources refuse the request", policy.TokenRequestOptions{TenantID: "fabrikam.com"}, ""},
	} {
		t.Run(row.that, func(t *testing.T) {
			row.o.Scopes = []string{graph}
			token, err := c.GetToken(t.Context(), row.o)
			if token.Token != row.want || (err == nil) != (row.want != "") {
				t.Errorf("the token %q, %v", token.Token, err)
			}
		})
	}
}

func TestARequestThatCannotBeServedIsAnErrorAndNoPanic(t *testing.T) {
	none := azcore.SourceFunc(func(...string) *core.TokenSource { return nil })
	for that, try := range map[string]func() error{
		"no sources": func() error {
			_, err := azcore.New(nil, azcore.Options{}).GetToken(t.Context(), request(graph))
			return err
		},
		"no source": func() error {
			_, err := azcore.New(none, azcore.Options{}).GetToken(t.Context(), request(graph))
			return err
		},
		"no scopes": func() error {
			_, err := azcore.New(none, azcore.Options{}).GetToken(t.Context(), policy.TokenRequestOptions{})
			return err
		},
		"no refresher": func() error { return azcore.Refresh(nil)(t.Context(), tokencache.New(), core.Refresh{}) },
	} {
		if try() == nil {
			t.Errorf("%s: no error", that)
		}
	}
}

// claimsChallenge is what a resource sends when it wants another token.
const claimsChallenge = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`

func TestAPipelineOfTheAzureSDKAnswersAClaimsChallenge(t *testing.T) {
	store := core.NewStore(newBackend(t))
	put(t, store, signIn("first"))
	var claims []string
	refresh := func(_ context.Context, c *tokencache.Cache, r core.Refresh) error {
		claims = append(claims, r.Claims)
		return c.Put(signIn("second"))
	}
	var seen []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		if r.Header.Get("Authorization") == "Bearer first" {
			w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_claims", claims="`+base64.StdEncoding.EncodeToString([]byte(claimsChallenge))+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	auth := runtime.NewBearerTokenPolicy(azcore.New(sources(store, refresh), azcore.Options{}), []string{graph}, nil)
	pipeline := runtime.NewPipeline("test", "v1", runtime.PipelineOptions{PerRetry: []policy.Policy{auth}}, &policy.ClientOptions{Transport: server.Client()})
	for range 2 {
		req, err := runtime.NewRequest(t.Context(), http.MethodGet, server.URL)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := pipeline.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", resp, err)
		}
	}
	if got := strings.Join(seen, ", "); got != "Bearer first, Bearer second, Bearer second" {
		t.Errorf("the resource saw %s", got)
	}
	if len(claims) != 1 || claims[0] != claimsChallenge {
		t.Errorf("the refresh function got the claims %q", claims)
	}
}

// broken is a backend that can't be reached, or whose record can't be read.
type broken struct {
	core.TokenBackend
	data core.Data
	err  error
}

func (b broken) Load(context.Context, string) (core.Record, error) {
	return core.Record{Data: b.data, Version: "1"}, b.err
}

func TestErrorsAreOfTheKindThatUsersOfAzidentityLookFor(t *testing.T) {
	outage := &core.Error{Op: "load", Backend: "redis", Key: "key", Err: errors.New("connection refused")}
	refused := errors.New("AADSTS65001: consent")
	for _, row := range []struct {
		that                            string
		backend                         core.TokenBackend
		refresh                         error
		cause                           error
		required, unavailable, isFailed bool
	}{
		{"nobody signed in", newBackend(t), core.ErrReauthRequired, core.ErrReauthRequired, true, true, false},
		{"a refused request", newBackend(t), refused, refused, false, false, true},
		{"an outage of the store", broken{newBackend(t), nil, outage}, nil, outage, false, true, false},
		{"a broken record", broken{newBackend(t), core.Data("{"), nil}, nil, core.ErrCorrupt, false, false, true},
	} {
		t.Run(row.that, func(t *testing.T) {
			next := errors.New("the chain goes on")
			store := core.NewStore(row.backend)
			refresh := func(context.Context, *tokencache.Cache, core.Refresh) error {
				return fmt.Errorf("refresh: %w", row.refresh)
			}
			c := azcore.New(sources(store, refresh), azcore.Options{Unavailable: func(string) error { return next }})
			o := policy.TokenRequestOptions{Scopes: []string{graph}, Claims: `{"a":1}`}
			_, err := c.GetToken(t.Context(), o)
			var required *azcore.AuthenticationRequiredError
			var unavailable *azcore.UnavailableError
			var failed *azcore.AuthenticationFailedError
			if errors.As(err, &required) != row.required || errors.As(err, &unavailable) != row.unavailable || errors.As(err, &failed) != row.isFailed {
				t.Errorf("the error is %T: %v", err, err)
			}
			if row.required && required.TokenRequestOptions.Claims != o.Claims {
				t.Errorf("the request is %+v", required.TokenRequestOptions)
			}
			if !errors.Is(err, row.cause) || errors.Is(err, next) != row.unavailable {
				t.Errorf("the error doesn't wrap what it should: %v", err)
			}
			if marked := (interface{ NonRetriable() })(nil); !errors.As(err, &marked) {
				t.Error("the pipeline would retry it")
			}
		})
	}
}

func TestTheEndOfAContextIsItsOwnError(t *testing.T) {
	store := core.NewStore(newBackend(t))
	put(t, store, signIn("at"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := azcore.New(sources(store, nil), azcore.Options{}).GetToken(ctx, request(graph))
	var failed *azcore.AuthenticationFailedError
	if !errors.Is(err, context.Canceled) || errors.As(err, &failed) {
		t.Errorf("%T: %v", err, err)
	}
}

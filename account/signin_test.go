package account_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// failing is a backend whose next loads and saves fail, as a connection does that
// was closed for being idle.
type failing struct {
	core.TokenBackend
	saves, loads atomic.Int64
}

var errReset = errors.New("read: connection reset by peer")

func (f *failing) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if f.saves.Add(-1) >= 0 {
		return "", errReset
	}
	return f.TokenBackend.Save(ctx, key, rec)
}

func (f *failing) Load(ctx context.Context, key string) (core.Record, error) {
	if f.loads.Add(-1) >= 0 {
		return core.Record{}, errReset
	}
	return f.TokenBackend.Load(ctx, key)
}

// begin goes as far as the redirect.
func begin(t *testing.T, idp *entra.Server, a *account.Account, username string) (account.Flow, string) {
	t.Helper()
	address, flow, err := a.AuthURL(t.Context(), account.AuthOptions{LoginHint: username})
	if err != nil {
		t.Fatal(err)
	}
	redirect, err := idp.SignIn(address)
	if err != nil {
		t.Fatal(err)
	}
	return flow, redirect
}

// A code is good once: what it brings is tried to save as what a refresh brings.
func TestASignInSurvivesAStoreThatFails(t *testing.T) {
	for what, row := range map[string]struct{ saves, loads int64 }{
		"to save, once":  {saves: 1},
		"to save, twice": {saves: 2},
		"to load, once":  {loads: 1},
	} {
		t.Run(what, func(t *testing.T) {
			idp, b := start(t), &failing{TokenBackend: newBackend(t)}
			a := newAccount(t, idp, b, account.Config{})
			flow, redirect := begin(t, idp, a, ana)
			b.saves.Store(row.saves)
			b.loads.Store(row.loads)
			if err := a.SignIn(t.Context(), flow, redirect); err != nil || a.User().Username != ana {
				t.Fatalf("signed in as %q: %v", a.User().Username, err)
			}
			if _, err := newAccount(t, idp, b, account.Config{}).TokenSource().Token(t.Context()); err != nil {
				t.Errorf("another process: %v", err)
			}
		})
	}
}

func TestASignInThatCannotBeSavedIsKept(t *testing.T) {
	idp, b := start(t), &failing{TokenBackend: newBackend(t)}
	store := core.NewStore(b)
	a, err := account.New(store, key, account.Config{ClientID: entra.PublicClient, Scopes: []string{"User.Read"}, HTTPClient: idp.HTTPClient()})
	if err != nil {
		t.Fatal(err)
	}
	flow, redirect := begin(t, idp, a, ana)
	b.saves.Store(1000)
	err = a.SignIn(t.Context(), flow, redirect)
	if !errors.Is(err, core.ErrRefreshedNotSaved) || !errors.Is(err, errReset) || a.User().Username != ana {
		t.Fatalf("signed in as %q, and the error %v; want %s and ErrRefreshedNotSaved", a.User().Username, err, ana)
	}
	if _, err := a.TokenSource().Token(t.Context()); err != nil {
		t.Errorf("in this process: %v", err)
	}
	b.saves.Store(0)
	if err := store.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := newAccount(t, idp, b, account.Config{}).TokenSource().Token(t.Context()); err != nil {
		t.Errorf("another process: %v", err)
	}
	if n := idp.Grants().ByType[entra.AuthorizationCode].Received; n != 1 {
		t.Errorf("the code was sent %d times, want once", n)
	}
}

// Ctrl-C, or a closed page, while the code is on its way.
func TestACodeIsRedeemedAfterItsCallerLeft(t *testing.T) {
	for what, signIn := range map[string]func(*testing.T, context.Context, *entra.Server, *account.Account) error{
		"in two steps": func(t *testing.T, ctx context.Context, idp *entra.Server, a *account.Account) error {
			flow, redirect := begin(t, idp, a, ana)
			return a.SignIn(ctx, flow, redirect)
		},
		"on the loopback interface": func(t *testing.T, ctx context.Context, idp *entra.Server, a *account.Account) error {
			return a.Authenticate(ctx, account.Loopback(func(address string) error {
				go func() { _ = idp.Browse(address) }()
				return nil
			}), account.AuthOptions{LoginHint: ana})
		},
	} {
		t.Run(what, func(t *testing.T) {
			idp, b := start(t), newBackend(t)
			a := newAccount(t, idp, b, account.Config{})
			held := idp.HoldReply(entra.AuthorizationCode) // the code is spent, the answer on its way
			defer held.Open()
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				patience, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				if err := held.Await(patience, 1); err != nil {
					t.Error(err)
				}
				leave()
				held.Open()
			}()
			if err := signIn(t, ctx, idp, a); err != nil || a.User().Username != ana {
				t.Errorf("signed in as %q: %v", a.User().Username, err)
			}
			if _, err := newAccount(t, idp, b, account.Config{}).TokenSource().Token(t.Context()); err != nil {
				t.Errorf("another process: %v", err)
			}
		})
	}
}

func TestACallerThatHasLeftSpendsNoCode(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{})
	flow, redirect := begin(t, idp, a, ana)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if err := a.SignIn(ctx, flow, redirect); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if err := a.SignIn(t.Context(), flow, redirect); err != nil {
		t.Errorf("the code, not spent: %v", err)
	}
}

// roundTrip changes the answers of a provider.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestAnApplicationGetsItsTokenOrAnError(t *testing.T) {
	stranger := base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"who","utid":"ever"}`))
	for what, row := range map[string]struct {
		answer string
		ok     bool
	}{
		"an answer with a user's client_info":   {`{"access_token":"app-token","expires_in":3600,"client_info":"` + stranger + `"}`, true},
		"an answer with a user's refresh token": {`{"access_token":"app-token","expires_in":3600,"refresh_token":"rt"}`, true},
		"an answer with a user's id token":      {`{"access_token":"app-token","expires_in":3600,"id_token":"e30.eyJzdWIiOiJ3aG8ifQ."}`, true},
		"a token that is bound to a key":        {`{"access_token":"app-token","expires_in":3600,"token_type":"pop"}`, false},
		"no token":                              {`{"expires_in":3600}`, false},
	} {
		t.Run(what, func(t *testing.T) {
			a, err := account.New(core.NewStore(newBackend(t)), key, account.Config{
				ClientID: "app", Credential: account.Secret("secret"), Tenant: "t", App: true, Scopes: []string{"https://api.example/.default"},
				Authority: "https://idp.example.com", DisableInstanceDiscovery: true, HTTPClient: &http.Client{Transport: at("idp.example.com", row.answer)},
			})
			if err != nil {
				t.Fatal(err)
			}
			err = a.Authenticate(t.Context(), nil, account.AuthOptions{})
			if (err == nil) != row.ok {
				t.Fatalf("the error is %v", err)
			}
			if !row.ok {
				return
			}
			if token, err := a.TokenSource().Token(t.Context()); err != nil || token.Secret.Reveal() != "app-token" {
				t.Errorf("a token of %d bytes, and the error %v", len(token.Secret), err)
			}
		})
	}
}

// at is a provider that answers every request for tokens the same.
func at(host, answer string) http.RoundTripper {
	return roundTrip(func(req *http.Request) (*http.Response, error) {
		text := `{"token_endpoint":"https://` + host + `/t/token","authorization_endpoint":"https://` + host + `/t/authorize","issuer":"https://` + host + `/t"}`
		if req.Method == http.MethodPost {
			text = answer
		}
		return reply(req, text), nil
	})
}

func reply(req *http.Request, text string) *http.Response {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: req}
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// put files a token that is good for an hour.
func put(t *testing.T, store *core.Store, secret, environment, tenant string) {
	t.Helper()
	err := store.Update(t.Context(), key, func(c *tokencache.Cache) error {
		return c.Put(tokencache.TokenResponse{
			AccessToken: secret, RefreshToken: "rt of " + secret, Scope: "User.Read", ExpiresIn: 3600, ClientID: "app",
			Environment: environment, Tenant: tenant, HomeAccountID: "uid." + home, GrantType: "authorization_code",
			IDToken: "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"oid":"uid","tid":"`+home+`","sub":"s","preferred_username":"`+ana+`"}`)) + ".",
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

const home, guest = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"

func TestATokenBelongsToAnIssuerAndATenant(t *testing.T) {
	const microsoft = "login.microsoftonline.com"
	for what, row := range map[string]struct {
		stored [][3]string // secret, environment, tenant
		cfg    account.Config
		want   string // "" for core.ErrReauthRequired or one of the provider
	}{
		"another provider's token is nobody's here": {
			[][3]string{{"microsoft's", microsoft, home}}, account.Config{Authority: "https://idp.example.com"}, "",
		},
		"of two providers, the authority's": {
			[][3]string{{"microsoft's", microsoft, home}, {"example's", "idp.example.com", home}}, account.Config{Authority: "https://idp.example.com"}, "example's",
		},
		"an alias is the same provider": {
			[][3]string{{"microsoft's", "login.windows.net", home}}, account.Config{}, "microsoft's",
		},
		"without a tenant, the home tenant's": {
			[][3]string{{"home's", microsoft, home}, {"guest's", microsoft, guest}}, account.Config{}, "home's",
		},
		"without a tenant, the home tenant's, whichever came last": {
			[][3]string{{"guest's", microsoft, guest}, {"home's", microsoft, "common"}}, account.Config{}, "home's",
		},
		"organizations is no tenant": {
			[][3]string{{"home's", microsoft, home}, {"guest's", microsoft, guest}}, account.Config{Tenant: "organizations"}, "home's",
		},
		"with a tenant, that tenant's": {
			[][3]string{{"home's", microsoft, home}, {"guest's", microsoft, guest}}, account.Config{Tenant: guest}, "guest's",
		},
		"with a tenant in the authority, that tenant's": {
			[][3]string{{"home's", microsoft, home}, {"guest's", microsoft, guest}}, account.Config{Authority: "https://login.microsoftonline.com/" + home}, "home's",
		},
	} {
		t.Run(what, func(t *testing.T) {
			store := core.NewStore(newBackend(t))
			for _, s := range row.stored {
				put(t, store, s[0], s[1], s[2])
			}
			row.cfg.ClientID, row.cfg.Username, row.cfg.Scopes = "app", ana, []string{"User.Read"}
			row.cfg.HTTPClient, row.cfg.DisableInstanceDiscovery = &http.Client{Transport: discovery{}}, true
			a, err := account.New(store, key, row.cfg)
			if err != nil {
				t.Fatal(err)
			}
			token, err := a.TokenSource().Token(t.Context())
			if token.Secret.Reveal() != row.want || (err == nil) != (row.want != "") {
				t.Errorf("the token is %q, want %q; the error is %v", token.Secret.Reveal(), row.want, err)
			}
		})
	}
}

func TestSigningOutAtOneProviderLeavesTheOther(t *testing.T) {
	store := core.NewStore(newBackend(t))
	put(t, store, "microsoft's", "login.microsoftonline.com", home)
	put(t, store, "example's", "idp.example.com", home)
	for _, row := range []struct{ authority, want string }{{"https://idp.example.com", ""}, {"", "microsoft's"}} {
		a, err := account.New(store, key, account.Config{ClientID: "app", Authority: row.authority, Scopes: []string{"User.Read"}, HTTPClient: &http.Client{Transport: discovery{}}})
		if err != nil {
			t.Fatal(err)
		}
		if row.want == "" {
			if err := a.SignOut(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if token, err := a.TokenSource().Token(t.Context()); token.Secret.Reveal() != row.want {
			t.Errorf("%s has the token %q, want %q: %v", row.authority, token.Secret.Reveal(), row.want, err)
		}
	}
}

func TestScopesInOneTextCostOneRefresh(t *testing.T) {
	for _, scopes := range [][]string{{"User.Read Mail.Read"}, {"User.Read, Mail.Read"}, {"User.Read", " ", "Mail.Read\n"}} {
		idp, b := start(t), newBackend(t)
		a := newAccount(t, idp, b, account.Config{Scopes: scopes})
		signIn(t, idp, a, ana)
		for range 3 {
			if _, err := a.TokenSource().Token(t.Context()); err != nil {
				t.Errorf("%q: %v", scopes, err)
			}
			if _, err := a.TokenSource(scopes...).Token(t.Context()); err != nil {
				t.Errorf("%q: %v", scopes, err)
			}
			if _, err := a.TokenSource(" ").Token(t.Context()); err != nil {
				t.Errorf("%q, and a blank one: %v", scopes, err)
			}
		}
		if n := idp.Grants().ByType[entra.Refresh].Received; n != 0 {
			t.Errorf("%q: %d refreshes of a fresh token", scopes, n)
		}
	}
}

func TestASignInWithoutScopesOfAResourceNeedsNoRefresh(t *testing.T) {
	idp, b := start(t), newBackend(t)
	a := newAccount(t, idp, b, account.Config{Scopes: []string{"openid profile"}})
	signIn(t, idp, a, ana)
	for range 3 {
		if _, err := a.TokenSource().Token(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := idp.Grants().ByType[entra.Refresh].Received; n != 0 {
		t.Errorf("%d refreshes of a fresh token", n)
	}
	if _, err := a.TokenSource().Refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAScopeGrantedUnderAnotherNameIsTheOneAskedFor(t *testing.T) {
	for _, granted := range []string{"https://graph.microsoft.us/User.Read", "https://graph.microsoft.com//User.Read", "00000003-0000-0000-c000-000000000000/User.Read"} {
		requests := 0
		provider := at("idp.example.com", `{"access_token":"at","refresh_token":"rt","expires_in":3600,"scope":"openid `+granted+`"}`)
		store := core.NewStore(newBackend(t))
		put(t, store, "old", "idp.example.com", home)
		a, err := account.New(store, key, account.Config{
			ClientID: "app", Tenant: home, Scopes: []string{"User.Read"}, Authority: "https://idp.example.com", DisableInstanceDiscovery: true,
			HTTPClient: &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
				if req.Method == http.MethodPost {
					requests++
				}
				return provider.RoundTrip(req)
			})},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.TokenSource().Refresh(t.Context()); err != nil {
			t.Errorf("%s: %v", granted, err)
		}
		for range 3 {
			if _, err := a.TokenSource().Token(t.Context()); err != nil {
				t.Errorf("%s: %v", granted, err)
			}
		}
		if requests != 1 {
			t.Errorf("%s: %d refreshes, want the one that was asked for", granted, requests)
		}
	}
}

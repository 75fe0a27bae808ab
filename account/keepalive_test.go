package account_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// renewing is a provider that renews refresh tokens, and refuses those that name a user
// who has left.
type renewing struct {
	at     []time.Time // of the requests
	before func(n int)
}

func (r *renewing) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet {
		return at("idp.example.com", "").RoundTrip(req)
	}
	if err := req.ParseForm(); err != nil {
		return nil, err
	}
	r.at = append(r.at, time.Now())
	if r.before != nil {
		r.before(len(r.at))
	}
	spent := req.PostForm.Get("refresh_token")
	switch {
	case strings.Contains(spent, "left"):
		resp := reply(req, `{"error":"invalid_grant","error_description":"AADSTS50173: The provided grant has expired."}`)
		resp.StatusCode = http.StatusBadRequest
		return resp, nil
	case strings.Contains(spent, "unlucky"):
		resp := reply(req, `{"error":"temporarily_unavailable"}`)
		resp.StatusCode = http.StatusServiceUnavailable
		return resp, nil
	}
	return reply(req, `{"access_token":"at","refresh_token":"`+spent+` again","expires_in":3600,"scope":"User.Read"}`), nil
}

// signedInAt files a user's tokens as if they had signed in some time ago.
func signedInAt(t *testing.T, store *core.Store, key, name, client string, ago time.Duration) {
	t.Helper()
	r := tokencache.TokenResponse{
		AccessToken: "old", RefreshToken: name, Scope: "User.Read", ExpiresIn: 3600, ClientID: client, Environment: "idp.example.com", Tenant: "t",
		HomeAccountID: name + ".t", GrantType: "authorization_code", Sent: time.Now().Add(-ago),
		IDToken: jwt([]byte(`{"oid":"` + name + `","sub":"` + name + `","preferred_username":"` + name + `@contoso.com"}`)),
	}
	if err := store.Update(t.Context(), key, func(c *tokencache.Cache) error { return c.Put(r) }); err != nil {
		t.Fatal(err)
	}
}

const days = 24 * time.Hour

func renewingApp(t *testing.T, provider http.RoundTripper) (*account.App, *core.Store, core.TokenBackend) {
	t.Helper()
	b := newBackend(t)
	store := core.NewStore(b)
	p, err := account.NewApp(store, account.Config{
		ClientID: "app", Authority: "https://idp.example.com/t", DisableInstanceDiscovery: true, HTTPClient: &http.Client{Transport: provider},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, store, b
}

func TestRefreshTokensAreRenewedBeforeTheyExpireUnused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := &renewing{}
		p, store, b := renewingApp(t, provider)
		signedInAt(t, store, "old.t", "old", "app", 50*days)
		signedInAt(t, store, "young.t", "young", "app", 40*days)
		signedInAt(t, store, "left.t", "left", "app", 60*days)
		signedInAt(t, store, "unlucky.t", "unlucky", "app", 60*days)
		signedInAt(t, store, "shared", "first", "app", 80*days) // python-o365's record for all
		signedInAt(t, store, "shared", "second", "app", 80*days)
		signedInAt(t, store, "stranger.t", "stranger", "another app", 80*days)
		if err := store.Update(t.Context(), "old.t", func(c *tokencache.Cache) error { // a guest elsewhere
			return c.Put(tokencache.TokenResponse{AccessToken: "guest", ClientID: "app", Scope: "User.Read", Environment: "idp.example.com", Tenant: "elsewhere", HomeAccountID: "old.t",
				IDToken: jwt([]byte(`{"oid":"guest","sub":"guest","preferred_username":"old@contoso.com"}`))})
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Put(t.Context(), "short.t", tokencache.TokenResponse{ // without offline_access
			AccessToken: "at", ClientID: "app", Scope: "User.Read", Environment: "idp.example.com", Tenant: "t", HomeAccountID: "short.t",
			IDToken: jwt([]byte(`{"oid":"short","sub":"short","preferred_username":"short@contoso.com"}`)),
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Save(t.Context(), "torn", core.Record{Data: core.Data(`{"Acc`)}); err != nil {
			t.Fatal(err)
		}
		told := make(map[string]account.KeepAliveUser)
		report, err := p.KeepAlive(t.Context(), account.KeepAliveOptions{Tell: func(u account.KeepAliveUser) { told[u.Account.Username] = u }})
		if err != nil {
			t.Fatal(err)
		}
		wantTold(t, told)
		var signIn []string
		for _, u := range report.SignIn {
			signIn = append(signIn, u.Key+" of "+u.Account.Username)
		}
		slices.Sort(signIn)
		if report.Renewed != 3 || report.Fresh != 1 || !slices.Equal(signIn, []string{"left.t of left@contoso.com", "short.t of short@contoso.com"}) {
			t.Errorf("the report is %v: %v", report, report.SignIn)
		}
		var failed []string
		for _, u := range report.Failed {
			failed = append(failed, u.Key)
		}
		slices.Sort(failed)
		if !slices.Equal(failed, []string{"torn", "unlucky.t"}) {
			t.Errorf("%v failed", report.Failed)
		}
		if text := fmt.Sprintf("%v %+v %v", report, report, report.SignIn); !strings.Contains(text, "left@contoso.com") || strings.Contains(text, "AADSTS50173: The provided grant") && strings.Contains(text, "\n") {
			t.Errorf("the report prints %s", text)
		}
		// The next day nothing is due but what failed.
		time.Sleep(24 * time.Hour)
		report, err = p.KeepAlive(t.Context(), account.KeepAliveOptions{})
		if err != nil || report.Renewed != 0 || report.Fresh != 4 {
			t.Errorf("the next day: %v, %v", report, err)
		}
		// A day is all that a single-page application's have.
		report, err = p.KeepAlive(t.Context(), account.KeepAliveOptions{Lifetime: account.SPARefreshTokenLifetime, Keys: []string{"old.t", "young.t", "gone.t"}})
		if err != nil || report.Renewed != 2 {
			t.Errorf("of a single-page application: %v, %v", report, err)
		}
	})
}

// wantTold expects that all users were told of whose tokens were not fresh.
func wantTold(t *testing.T, told map[string]account.KeepAliveUser) {
	t.Helper()
	now := time.Now()
	if len(told) != 6 {
		t.Errorf("%d users were told of: %v", len(told), told)
	}
	if u := told["old@contoso.com"]; u.Err != nil || u.ExpiresOn.Sub(now).Round(time.Minute) != time.Hour || !u.Ends.IsZero() {
		t.Errorf("of a renewed user was told %v, valid until %v, ends %v", u, u.ExpiresOn, u.Ends)
	}
	if u := told["left@contoso.com"]; !errors.Is(u.Err, core.ErrReauthRequired) || !u.Ends.IsZero() {
		t.Errorf("of a user who left was told %v, ends %v", u, u.Ends)
	}
	if u := told["unlucky@contoso.com"]; u.Err == nil || u.Ends.Sub(now).Round(days) != 30*days {
		t.Errorf("of a user whom the provider failed was told %v, ends %v", u, u.Ends)
	}
}

func TestRenewalsAreSpreadInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := &renewing{}
		p, store, _ := renewingApp(t, provider)
		const users = 40
		for i := range users {
			signedInAt(t, store, fmt.Sprintf("u%d.t", i), fmt.Sprintf("u%d", i), "app", 80*days)
		}
		if report, err := p.KeepAlive(t.Context(), account.KeepAliveOptions{PerSecond: 2}); err != nil || report.Renewed != users {
			t.Fatalf("%v, %v", report, err)
		}
		pauses := make(map[time.Duration]bool)
		for i := 1; i < len(provider.at); i++ {
			pause := provider.at[i].Sub(provider.at[i-1])
			pauses[pause] = true
			if pause < 250*time.Millisecond || pause > 750*time.Millisecond {
				t.Errorf("a pause of %v, want half a second, more or less", pause)
			}
		}
		if len(pauses) < users/2 {
			t.Errorf("%d different pauses of %d: they have no jitter", len(pauses), users)
		}
	})
}

func TestARenewalThatAnotherProcessDidIsNotDoneAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		provider := &renewing{}
		p, store, b := renewingApp(t, provider)
		signedInAt(t, store, "shared", "a", "app", 80*days)
		signedInAt(t, store, "shared", "b", "app", 80*days)
		other := core.NewStore(b)
		provider.before = func(n int) { // while a is renewed, another process renews b
			if n == 1 {
				signedInAt(t, other, "shared", "b", "app", 79*days)
				if err := other.Update(context.Background(), "shared", func(c *tokencache.Cache) error {
					return c.Put(tokencache.TokenResponse{AccessToken: "x", RefreshToken: "b of another", Scope: "User.Read", ClientID: "app", Environment: "idp.example.com", Tenant: "t", HomeAccountID: "b.t"})
				}); err != nil {
					t.Error(err)
				}
			}
		}
		report, err := p.KeepAlive(t.Context(), account.KeepAliveOptions{})
		if err != nil || report.Renewed != 1 || report.Fresh != 1 || len(provider.at) != 1 {
			t.Errorf("%v, %v, and %d requests", report, err, len(provider.at))
		}
	})
}

func TestKeepAliveEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, leave := context.WithCancel(t.Context())
		provider := &renewing{before: func(n int) {
			if n == 2 {
				leave()
			}
		}}
		p, store, _ := renewingApp(t, provider)
		for i := range 5 {
			signedInAt(t, store, fmt.Sprintf("u%d.t", i), fmt.Sprintf("u%d", i), "app", 80*days)
		}
		report, err := p.KeepAlive(ctx, account.KeepAliveOptions{})
		if !errors.Is(err, context.Canceled) || report.Renewed > 2 || len(provider.at) != 2 {
			t.Errorf("%v, %v, and %d requests", report, err, len(provider.at))
		}
		synctest.Wait()
	})
}

// unlisted hides the Lister of a backend.
type unlisted struct{ core.TokenBackend }

func TestAStoreThatCannotListIsToldOf(t *testing.T) {
	p, err := account.NewApp(core.NewStore(unlisted{newBackend(t)}), account.Config{ClientID: "app"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.KeepAlive(t.Context(), account.KeepAliveOptions{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("KeepAlive: %v", err)
	}
	if _, err := p.Usernames(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Usernames: %v", err)
	}
	if err := p.SignOutAll(t.Context()); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("SignOutAll: %v", err)
	}
}

func TestRenewalsThatWouldNotBeStoredAreRefused(t *testing.T) {
	idp, b := start(t), newBackend(t)
	signInTo(t, idp, newApp(t, idp, b, account.Config{}), ana)
	p := newApp(t, idp, b, account.Config{NoStore: true})
	if _, err := p.KeepAlive(t.Context(), account.KeepAliveOptions{Lifetime: time.Nanosecond}); err == nil || !strings.Contains(err.Error(), "NoStore") {
		t.Errorf("the error is %v, want one that names NoStore", err)
	}
	if n := idp.Grants().ByType[entra.Refresh].Received; n != 0 {
		t.Errorf("%d refresh tokens were spent", n)
	}
}

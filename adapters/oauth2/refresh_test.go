package oauth2_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/adapters/oauth2"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	xoauth2 "golang.org/x/oauth2"
)

func answerWith(status int, kind, body string, header ...string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", kind)
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, strings.ReplaceAll(body, "$sent", r.PostForm.Get("refresh_token")+" "+clientSecret))
		return true
	}
}

const (
	asJSON = "application/json"
	asForm = "application/x-www-form-urlencoded"
)

func TestARefusalSaysWhomItConcerns(t *testing.T) {
	for _, row := range []struct {
		that   string
		fault  func(http.ResponseWriter, *http.Request) bool
		scope  core.FailureScope
		reauth bool
		after  time.Duration
		asked  int
	}{
		{"a refused refresh token", answerWith(400, asJSON, `{"error":"invalid_grant","error_description":"$sent"}`), core.FailureOfUser, true, 0, 1},
		{"GitHub's way to refuse a refresh token", answerWith(200, asForm, `error=bad_refresh_token&error_description=$sent`), core.FailureOfUser, true, 0, 1},
		{"a refused client, tried in both places", answerWith(401, asJSON, `{"error":"invalid_client","error_description":"$sent"}`), core.FailureOfProvider, false, 0, 2},
		{"GitHub's way to refuse a client", answerWith(200, asForm, `error=incorrect_client_credentials`), core.FailureOfProvider, false, 0, 2},
		{"a refused scope", answerWith(400, asJSON, `{"error":"invalid_scope"}`), core.FailureOfRequest, false, 0, 2},
		{"too many requests", answerWith(429, asJSON, `{"error":"slow_down"}`, "Retry-After", "120"), core.FailureOfProvider, false, 2 * time.Minute, 1},
		{"a provider that is down", answerWith(503, "text/html", `<p>$sent`, "Retry-After", "60"), core.FailureOfProvider, false, time.Minute, 1},
		{"a gateway's page", answerWith(502, "text/html", `<p>$sent`), core.FailureOfProvider, false, 0, 1},
		{"a redirect", answerWith(307, asJSON, ``, "Location", "https://evil.example.com/"), core.FailureOfProvider, false, 0, 1},
		{"an answer without a token", answerWith(200, asJSON, `{"scope":"$sent"}`), core.FailureOfProvider, false, 0, 1},
		{"an answer that is no JSON", answerWith(200, asJSON, `{"access_token":"$sent`), core.FailureOfProvider, false, 0, 1},
	} {
		t.Run(row.that, func(t *testing.T) {
			p := start(t, strict)
			cfg := p.config()
			store := core.NewStore(newBackend(t))
			signIn(t, newClient(t, store, cfg), cfg)
			c := newClient(t, store, p.config())
			expire(t, store, c)
			p.fail(row.fault)
			_, err := c.TokenSource(t.Context()).Token()
			var scoped interface{ FailureScope() core.FailureScope }
			if !errors.As(err, &scoped) || scoped.FailureScope() != row.scope || errors.Is(err, core.ErrReauthRequired) != row.reauth {
				t.Fatalf("%T: %v", err, err)
			}
			var retry interface{ RetryAfter() time.Duration }
			if row.after != 0 && (!errors.As(err, &retry) || retry.RetryAfter() != row.after) {
				t.Errorf("the provider wants to be left alone for another time than %v", row.after)
			}
			if n := p.refreshes(); n != row.asked {
				t.Errorf("%d requests, want %d", n, row.asked)
			}
			shown := fmt.Sprintf("%v %+v", err, err)
			var theirs *xoauth2.RetrieveError
			if errors.As(err, &theirs) {
				shown += fmt.Sprintf("%v %s %v", theirs, theirs.Body, theirs.Response.Header)
			}
			for _, secret := range []string{"refresh-1", clientSecret} {
				if strings.Contains(shown, secret) {
					t.Errorf("%q is shown: %s", secret, shown)
				}
			}
		})
	}
}

func TestARefusalIsAlsoTheErrorOfTheLibrary(t *testing.T) {
	p := start(t, strict)
	store := core.NewStore(newBackend(t))
	c := newClient(t, store, p.config())
	if err := c.Put(t.Context(), &xoauth2.Token{AccessToken: "at", RefreshToken: "unknown", Expiry: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	_, err := c.TokenSource(t.Context()).Token()
	var ours *oauth2.Error
	var theirs *xoauth2.RetrieveError
	if !errors.As(err, &ours) || ours.Code != "invalid_grant" || ours.Status != 400 || ours.URL != p.URL+"/token" ||
		!errors.As(err, &theirs) || theirs.ErrorCode != "invalid_grant" || theirs.Response.StatusCode != 400 {
		t.Errorf("%v", err)
	}
}

func TestAQueryForOtherTokensIsRefused(t *testing.T) {
	p := start(t, strict)
	c := newClient(t, core.NewStore(newBackend(t)), p.config())
	for that, q := range map[string]tokencache.Query{
		"another client's":       {ClientID: "other"},
		"another provider's":     {Environment: "other.example.com"},
		"a user's":               {Username: "ana@example.com"},
		"another record's":       {HomeAccountID: "u.t"},
		"a tenant's":             {Tenant: "contoso.com"},
		"the application's":      {App: true},
		"those with some scopes": {Scopes: []string{"files"}},
	} {
		if err := c.Refresh(t.Context(), tokencache.New(), core.Refresh{Query: q}); err == nil || errors.Is(err, core.ErrReauthRequired) {
			t.Errorf("%s: %v", that, err)
		}
	}
}

func TestNobodySignedInIsASignInRequired(t *testing.T) {
	p := start(t, strict)
	c := newClient(t, core.NewStore(newBackend(t)), p.config())
	if _, err := c.TokenSource(t.Context()).Token(); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("%v", err)
	}
	if _, err := c.HTTPClient(t.Context()).Get(p.URL + "/resource"); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("%v", err)
	}
}

func TestAProviderThatIsNotThereIsAnErrorOfTheNetwork(t *testing.T) {
	p := start(t, strict)
	c := newClient(t, core.NewStore(newBackend(t)), p.config())
	if err := c.Put(t.Context(), &xoauth2.Token{AccessToken: "at", RefreshToken: "refresh-1", Expiry: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	p.Close()
	_, err := c.TokenSource(t.Context()).Token()
	var network interface{ Timeout() bool }
	if !errors.As(err, &network) || errors.Is(err, core.ErrReauthRequired) || strings.Contains(err.Error(), "refresh-1") {
		t.Errorf("%v", err)
	}
}

// The refresh token is sent while the record's lease is held: another process could
// otherwise send the same.
func TestTheRefreshTokenIsSentUnderTheLease(t *testing.T) {
	p := start(t, strict)
	backend := newBackend(t)
	store := core.NewStore(backend)
	cfg := p.config()
	c := newClient(t, store, cfg)
	signIn(t, c, cfg)
	expire(t, store, c)
	p.fail(func(http.ResponseWriter, *http.Request) bool {
		leaser, _ := core.As[core.Leaser](backend)
		if _, err := leaser.Acquire(t.Context(), "key", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("nobody holds the lease: %v", err)
		}
		return false
	})
	if _, err := c.TokenSource(t.Context()).Token(); err != nil {
		t.Fatal(err)
	}
}

func TestAnUnsavedRefreshTokenIsNotSentTwice(t *testing.T) {
	p := start(t, strict)
	cache := tokencache.New()
	store := core.NewStore(newBackend(t))
	c := newClient(t, store, p.config())
	p.refresh = "refresh-0"
	if err := c.Put(t.Context(), &xoauth2.Token{AccessToken: "at", RefreshToken: "refresh-0", Expiry: time.Now().Add(-time.Hour)}); err != nil {
		t.Fatal(err)
	}
	stored, _, err := store.Load(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	cache.Replace(stored)
	for round := range 3 { // as a store whose saves fail goes on
		if err := c.Refresh(t.Context(), cache, core.Refresh{Force: true}); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
	if p.revoked {
		t.Error("a spent refresh token was sent")
	}
}

package msal_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	msalerrors "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestRefreshTradesTheRefreshTokenWhateverIsCached(t *testing.T) {
	for name, client := range map[string]func(*testing.T, *wire, string) *msal.Client{"public": public, "confidential": private} {
		t.Run(name, func(t *testing.T) {
			idp := start(t, entra.Options{})
			c := client(t, newWire(idp), common)
			cache := tokencache.New()
			signIn(t, idp, c, cache, ana)
			before, spent := accessToken(t, cache, query(ana)), refreshToken(t, cache, query(ana))

			for range 3 { // in strict mode a token spent twice would revoke them all
				if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
					t.Fatal(err)
				}
				after, fresh := accessToken(t, cache, query(ana)), refreshToken(t, cache, query(ana))
				if after.Secret == before.Secret || fresh == spent {
					t.Fatal("the tokens are still the old ones")
				}
				before, spent = after, fresh
			}
			if n := idp.Grants().ByType[entra.Refresh].Succeeded; n != 3 {
				t.Errorf("the provider refreshed %d times, want 3", n)
			}
		})
	}
}

func TestTokensTooShortForMSALToCacheAreKept(t *testing.T) {
	idp := start(t, entra.Options{Lifetime: 3 * time.Minute})
	c, cache := public(t, newWire(idp), common), tokencache.New()
	signIn(t, idp, c, cache, ana)
	before := accessToken(t, cache, query(ana))
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
		t.Fatal(err)
	}
	if after := accessToken(t, cache, query(ana)); after.Secret == before.Secret {
		t.Error("the token is still the old one")
	}
}

func TestARefreshStaysWithTheTenantOfTheSignIn(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	signIn(t, idp, public(t, w, common), cache, ana)

	// The same application, configured with its tenant since.
	c := public(t, w, "https://login.microsoftonline.com/"+entra.Tenant)
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
		t.Fatal(err)
	}
	if token := accessToken(t, cache, query(ana)); token.Realm != "common" {
		t.Errorf("the token is filed under %q, want common", token.Realm)
	}
	log := idp.Grants().Log
	if tenant := log[len(log)-1].Tenant; tenant != "common" {
		t.Errorf("the provider was asked as %q, want common", tenant)
	}
}

func TestOtherUsersOfTheRecordStayAsTheyAre(t *testing.T) {
	idp := start(t, entra.Options{})
	c, cache := public(t, newWire(idp), common), tokencache.New()
	signIn(t, idp, c, cache, ana)
	signIn(t, idp, c, cache, bo)
	token, refresh := accessToken(t, cache, query(bo)), refreshToken(t, cache, query(bo))
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
		t.Fatal(err)
	}
	if accessToken(t, cache, query(bo)).Secret != token.Secret || refreshToken(t, cache, query(bo)) != refresh {
		t.Error("Bo's tokens changed when Ana's were refreshed")
	}
	if n := len(cache.Accounts()); n != 2 {
		t.Errorf("the record has %d accounts, want 2", n)
	}
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: tokencache.Query{Scopes: scopes}}); !errors.Is(err, core.ErrAmbiguous) {
		t.Errorf("a query that names no user gives %v, want ErrAmbiguous", err)
	}
}

func TestAnAnswerWithoutARefreshTokenKeepsTheOldOne(t *testing.T) {
	idp := start(t, entra.Options{})
	c, cache := public(t, newWire(idp), common), tokencache.New()
	signIn(t, idp, c, cache, ana)
	before := refreshToken(t, cache, query(ana))
	idp.Inject(entra.Refresh, entra.Fault{OmitRefreshToken: true})
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
		t.Fatal(err)
	}
	if refreshToken(t, cache, query(ana)) != before {
		t.Error("the refresh token changed")
	}
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
		t.Errorf("the kept refresh token: %v", err)
	}
}

func TestAnAnswerForAnotherAccountIsRefused(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	before := document(t, cache)
	stranger := base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"stranger","utid":"elsewhere"}`))
	w.onAnswer(func(req *http.Request, resp *http.Response) error {
		return editJSON(resp, func(m map[string]any) { m["client_info"] = stranger })
	})
	err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
	if err == nil || !strings.Contains(err.Error(), "stranger.elsewhere") {
		t.Errorf("the answer for a stranger gives %v", err)
	}
	if document(t, cache) != before {
		t.Error("the cache changed")
	}
}

func TestWithoutClientInfoTheIDTokenTellsTheAccount(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	w.onAnswer(func(req *http.Request, resp *http.Response) error {
		return editJSON(resp, func(m map[string]any) { delete(m, "client_info") })
	})
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
		t.Fatalf("Ana's own answer: %v", err)
	}
	stranger := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"stranger","aud":"x"}`)) + "."
	w.onAnswer(func(req *http.Request, resp *http.Response) error {
		return editJSON(resp, func(m map[string]any) { delete(m, "client_info"); m["id_token"] = stranger })
	})
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err == nil {
		t.Error("a stranger's answer was taken for Ana's")
	}
}

// editJSON changes a token answer on its way.
func editJSON(resp *http.Response, edit func(map[string]any)) error {
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		return err
	}
	if m["access_token"] != nil {
		edit(m)
	}
	if raw, err = json.Marshal(m); err != nil {
		return err
	}
	body(resp, string(raw))
	return nil
}

// MSAL refuses an answer that leaves out a scope that was asked for, after the
// provider has spent the refresh token. The tokens that came must be kept all the same.
func TestADeclinedScopeDoesNotLoseTheNewRefreshToken(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	spent := refreshToken(t, cache, query(ana))
	w.onAnswer(func(req *http.Request, resp *http.Response) error {
		return editJSON(resp, func(m map[string]any) { m["scope"] = "User.Read openid profile" })
	})
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
		t.Fatal(err)
	}
	if refreshToken(t, cache, query(ana)) == spent {
		t.Fatal("the new refresh token is lost")
	}
	w.onAnswer(nil)
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
		t.Errorf("the next refresh: %v", err)
	}
}

func TestAnIDTokenThatCannotBeReadDoesNotLoseTheNewRefreshToken(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	for _, idToken := range []any{"torn", "a.b.c", "e30.!!!.", 7} {
		w.onAnswer(func(req *http.Request, resp *http.Response) error {
			return editJSON(resp, func(m map[string]any) { m["id_token"] = idToken })
		})
		if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
			t.Errorf("the id token %v: %v", idToken, err)
		}
	}
	if g := idp.Grants(); g.ReuseDetected != 0 {
		t.Errorf("%d spent tokens were presented", g.ReuseDetected)
	}
}

func TestReservedScopesAreNoRefusal(t *testing.T) {
	idp := start(t, entra.Options{})
	c, cache := public(t, newWire(idp), common), tokencache.New()
	signIn(t, idp, c, cache, ana)
	q := query(ana)
	q.Scopes = []string{"offline_access", "User.Read", "openid", "profile"}
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: q}); err != nil {
		t.Fatal(err)
	}
	accessToken(t, cache, tokencache.Query{Username: ana, Scopes: msal.Scopes(q.Scopes...)})
}

func TestAQueryWithoutScopesAsksForTheSameAgain(t *testing.T) {
	idp := start(t, entra.Options{})
	c, cache := public(t, newWire(idp), common), tokencache.New()
	signIn(t, idp, c, cache, ana)
	before := accessToken(t, cache, query(ana))
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: tokencache.Query{Username: ana}}); err != nil {
		t.Fatal(err)
	}
	if accessToken(t, cache, query(ana)).Secret == before.Secret {
		t.Error("the token is still the old one")
	}
}

func TestAUserWithoutARefreshTokenMustSignIn(t *testing.T) {
	idp := start(t, entra.Options{})
	c := public(t, newWire(idp), common)
	err := c.Refresh(t.Context(), tokencache.New(), core.Refresh{Query: query(ana)})
	if !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("an empty cache gives %v, want ErrReauthRequired", err)
	}
	if n := idp.Grants().Total.Received; n != 0 {
		t.Errorf("the provider was asked %d times for nothing", n)
	}
}

func TestARevokedRefreshTokenMeansSigningInAgain(t *testing.T) {
	idp := start(t, entra.Options{})
	c, cache := public(t, newWire(idp), common), tokencache.New()
	signIn(t, idp, c, cache, ana)
	secret, before := refreshToken(t, cache, query(ana)), document(t, cache)
	idp.Revoke(ana)
	err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
	if !errors.Is(err, core.ErrReauthRequired) {
		t.Fatalf("the error is %v, want ErrReauthRequired", err)
	}
	var refusal *msal.Error
	if !errors.As(err, &refusal) || refusal.Code != "invalid_grant" || refusal.Status != http.StatusBadRequest || !strings.HasPrefix(refusal.Description, "AADSTS") {
		t.Errorf("the refusal is %+v", refusal)
	}
	var call msalerrors.CallErr
	if !errors.As(err, &call) {
		t.Fatal("MSAL's error can't be reached")
	}
	mustNotShow(t, err, secret)
	mustNotShow(t, call, secret)
	if strings.Contains(call.Verbose(), secret) || strings.Contains(msalerrors.Verbose(err), secret) {
		t.Error("the secret shows in MSAL's verbose text")
	}
	if document(t, cache) != before {
		t.Error("the cache changed")
	}
}

func TestAProviderThatQuotesSecretsDoesNotLeakThem(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := private(t, w, common)
	signIn(t, idp, c, cache, ana)
	secret := refreshToken(t, cache, query(ana))
	for name, answer := range map[string]struct {
		status int
		body   string
	}{
		"an OAuth error":   {400, `{"error":"invalid_grant","error_description":"you sent ` + secret + ` and ` + entra.ConfidentialSecret + `\r\n\u001b[31mred","claims":"` + secret + `"}`},
		"an HTML page":     {502, `<html>` + secret + entra.ConfidentialSecret + `</html>`},
		"torn JSON":        {200, `{"access_token":"at-canary","refresh_token":"` + secret + `","expires_in":`},
		"a wrong document": {200, `{"refresh_token":"` + secret + `","expires_on":"` + secret + `"}`},
	} {
		t.Run(name, func(t *testing.T) {
			w.onAnswer(func(req *http.Request, resp *http.Response) error {
				if req.Method == http.MethodPost {
					resp.StatusCode = answer.status
					body(resp, answer.body)
				}
				return nil
			})
			err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
			if err == nil {
				t.Fatal("no error")
			}
			mustNotShow(t, err, secret, entra.ConfidentialSecret, "at-canary", "\x1b", "\n")
			var call msalerrors.CallErr
			if errors.As(err, &call) && strings.Contains(call.Verbose(), secret) {
				t.Error("the secret shows in MSAL's verbose text")
			}
		})
	}
}

func TestFailuresOnTheWayStayWhatTheyAre(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)

	idp.Inject(entra.Refresh, entra.Unavailable())
	err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
	var refusal *msal.Error
	if !errors.As(err, &refusal) || refusal.Status != http.StatusServiceUnavailable || errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("an outage of the provider gives %v", err)
	}

	held := idp.Hold(entra.Refresh)
	defer held.Open()
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() { failed <- c.Refresh(ctx, cache, core.Refresh{Query: query(ana)}) }()
	patience, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := held.Await(patience, 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call gives %v, want context.Canceled", err)
	}

	w.base = failing{&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no route to host")}}
	err = c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
	var network *net.OpError
	if !errors.As(err, &network) || errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("a network failure gives %v", err)
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines: %q", err)
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

func TestAClaimsChallengeReachesTheProvider(t *testing.T) {
	const claims = `{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}`
	for name, client := range map[string]func(*testing.T, *wire, string) *msal.Client{"public": public, "confidential": private} {
		t.Run(name, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			c := client(t, w, common)
			signIn(t, idp, c, cache, ana)
			if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana), Claims: claims}); err != nil {
				t.Fatal(err)
			}
			if got := w.lastForm().Get("claims"); got != claims {
				t.Errorf("the provider got the claims %q", got)
			}
		})
	}
	t.Run("application", func(t *testing.T) {
		idp := start(t, entra.Options{})
		w := newWire(idp)
		c := private(t, w, "https://login.microsoftonline.com/"+entra.Tenant)
		q := tokencache.Query{App: true, Scopes: []string{graphApp}}
		if err := c.Refresh(t.Context(), tokencache.New(), core.Refresh{Query: q, Claims: claims}); err != nil {
			t.Fatal(err)
		}
		if got := w.lastForm().Get("claims"); got != claims {
			t.Errorf("the provider got the claims %q", got)
		}
	})
}

func TestClientCredentialsNeedNoRecord(t *testing.T) {
	idp := start(t, entra.Options{})
	c, cache := private(t, newWire(idp), "https://login.microsoftonline.com/"+entra.Tenant), tokencache.New()
	q := tokencache.Query{App: true, Scopes: []string{graphApp}}
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: q}); err != nil {
		t.Fatal(err)
	}
	before := accessToken(t, cache, q)
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: q, Force: true}); err != nil {
		t.Fatal(err)
	}
	if accessToken(t, cache, q).Secret == before.Secret {
		t.Error("the token is still the old one")
	}
	wrong := public(t, newWire(idp), common)
	if err := wrong.Refresh(t.Context(), cache, core.Refresh{Query: q}); err == nil {
		t.Error("a public client got an application's token")
	}
}

func TestDiscoveryIsAskedOnce(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	for range 5 {
		if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.discoveries(); len(got) != 2 {
		t.Errorf("discovery was asked for %d times, want once each: %q", len(got), got)
	}
}

func TestAHostThatIsNotMicrosoftsCanBeUsed(t *testing.T) {
	idp := start(t, entra.Options{})
	c, err := msal.NewPublic(entra.PublicClient,
		msal.WithAuthority(idp.Authority("common")),
		msal.WithHTTPClient(idp.HTTPClient()),
		msal.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	cache := tokencache.New()
	signIn(t, idp, c, cache, ana)
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
		t.Fatal(err)
	}
}

// MSAL .NET files what it gets from login.microsoftonline.com under
// login.windows.net.
func TestARecordUnderAnotherNameOfTheSameHostIsRefreshed(t *testing.T) {
	idp := start(t, entra.Options{})
	c, cache := public(t, newWire(idp), common), tokencache.New()
	signIn(t, idp, c, cache, ana)
	renamed, err := tokencache.Parse([]byte(strings.ReplaceAll(document(t, cache), "login.microsoftonline.com", "login.windows.net")))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Refresh(t.Context(), renamed, core.Refresh{Query: query(ana)}); err != nil {
			t.Fatal(err)
		}
	}
	if strings.Contains(document(t, renamed), `"environment":"login.microsoftonline.com"`) {
		t.Error("the record has entries under both names now")
	}
}

func TestATokenOfAnotherHostIsNotSent(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	signIn(t, idp, public(t, w, common), cache, ana)
	idp.ResetGrants()
	c, err := msal.NewPublic(entra.PublicClient,
		msal.WithAuthority("https://login.example.com/common"),
		msal.WithHTTPClient(&http.Client{Transport: w}),
		msal.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	err = c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
	if !errors.Is(err, core.ErrReauthRequired) || !strings.Contains(err.Error(), "login.example.com") {
		t.Errorf("the error is %v", err)
	}
	if n := idp.Grants().Total.Received; n != 0 {
		t.Error("the refresh token was sent to another host")
	}
}

// With one MSAL client for all, one user's refresh could spend another's token.
func TestManyRecordsAreRefreshedAtOnceByOneClient(t *testing.T) {
	const n = 16
	users := make([]entra.User, n)
	for i := range users {
		users[i].Username = fmt.Sprintf("user%d@contoso.com", i)
	}
	idp := start(t, entra.Options{Users: users})
	c := public(t, newWire(idp), common)
	var wg sync.WaitGroup
	for _, u := range users {
		wg.Go(func() {
			cache := tokencache.New()
			if err := trySignIn(t.Context(), idp, c, cache, u.Username); err != nil {
				t.Error(err)
				return
			}
			for range 4 {
				if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(u.Username)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	g := idp.Grants()
	if g.RefreshesSucceeded != 4*n || g.ReuseDetected != 0 {
		t.Errorf("%d refreshes, %d spent tokens; want %d and none", g.RefreshesSucceeded, g.ReuseDetected, 4*n)
	}
}

// The answer takes ten minutes: a machine that slept, say. The token's life
// counts from when it was asked for.
func TestATokensLifeCountsFromTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frozen := roundTrip(func(req *http.Request) (*http.Response, error) {
			text := `{"token_endpoint":"https://idp.example.com/t/token","authorization_endpoint":"https://idp.example.com/t/authorize","issuer":"https://idp.example.com/t"}`
			if req.Method == http.MethodPost {
				<-time.After(10 * time.Minute)
				text = `{"access_token":"fresh","token_type":"Bearer","expires_in":"3600","refresh_in":1800}`
			}
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(text)), Request: req}, nil
		})
		c, err := msal.NewPublic("app", msal.WithAuthority("https://idp.example.com/t"),
			msal.WithHTTPClient(&http.Client{Transport: frozen}), msal.WithInstanceDiscovery(false))
		if err != nil {
			t.Fatal(err)
		}
		cache := tokencache.New()
		if err := cache.Put(tokencache.TokenResponse{
			AccessToken: "stale", RefreshToken: "rt", Scope: "User.Read", TokenType: "Bearer", ExpiresIn: 3600,
			ClientID: "app", Environment: "idp.example.com", Tenant: "t", HomeAccountID: "uid.utid",
			ClientInfo: base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"uid","utid":"utid"}`)), Sent: time.Now(),
		}); err != nil {
			t.Fatal(err)
		}
		sent := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		q := tokencache.Query{HomeAccountID: "uid.utid", Scopes: []string{"User.Read"}}
		if err := c.Refresh(ctx, cache, core.Refresh{Query: q}); err != nil {
			t.Fatal(err)
		}
		token := accessToken(t, cache, q)
		if token.Secret.Reveal() != "fresh" || token.ExpiresOn.Sub(sent) > time.Hour || token.ExpiresOn.Sub(sent) < time.Hour-time.Second {
			t.Errorf("the token lives %v from the request, want an hour", token.ExpiresOn.Sub(sent))
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestConstructorsTellWhatIsWrong(t *testing.T) {
	for name, build := range map[string]func() (*msal.Client, error){
		"no client ID": func() (*msal.Client, error) { return msal.NewPublic("") },
		"plain http":   func() (*msal.Client, error) { return msal.NewPublic("id", msal.WithAuthority("http://host/t")) },
		"no tenant":    func() (*msal.Client, error) { return msal.NewPublic("id", msal.WithAuthority("https://host/")) },
		"credentials in a URL": func() (*msal.Client, error) {
			return msal.NewPublic("id", msal.WithAuthority("https://u:pass-canary@host/t"))
		},
		"an empty credential":   func() (*msal.Client, error) { return msal.NewConfidential("id", noCredential) },
		"a query in the tenant": func() (*msal.Client, error) { return msal.NewPublic("id", msal.WithAuthority("https://host/t?x=y")) },
	} {
		t.Run(name, func(t *testing.T) {
			c, err := build()
			if err == nil || c != nil {
				t.Fatalf("no error, and the client %v", c)
			}
			if strings.Contains(err.Error(), "pass-canary") {
				t.Errorf("the password shows: %v", err)
			}
		})
	}
}

func TestARefusedSignInIsAnError(t *testing.T) {
	err := msal.Refusal(url.Values{"error": {"access_denied"}, "error_description": {"The user\r\nsaid no."}})
	var refusal *msal.Error
	if !errors.As(err, &refusal) || !strings.HasPrefix(err.Error(), "the provider answered access_denied: The user said no. What to do: ") {
		t.Errorf("the refusal is %v", err)
	}
	if errors.Is(err, core.ErrReauthRequired) {
		t.Error("a user who said no is asked again")
	}
	if err := msal.Refusal(url.Values{"error": {"login_required"}}); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("nobody signed in at the provider gives %v", err)
	}
	if err := msal.Refusal(url.Values{"code": {"x"}}); err != nil {
		t.Errorf("a code is taken for a refusal: %v", err)
	}
}

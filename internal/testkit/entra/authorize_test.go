package entra_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestACodeIsGoodOnceForItsClientItsAddressItsVerifierAndItsTime(t *testing.T) {
	for _, c := range []struct {
		name   string
		pairs  []string
		age    time.Duration
		oauth  string
		aadsts int
	}{
		{"another client", []string{"client_id", entra.ConfidentialClient, "client_secret", entra.ConfidentialSecret}, 0, "invalid_grant", 70000},
		{"another redirect_uri", []string{"redirect_uri", redirect + "/"}, 0, "invalid_grant", 500112},
		{"no redirect_uri", []string{"redirect_uri", ""}, 0, "invalid_request", 900144},
		{"another verifier", []string{"code_verifier", strings.Repeat("x", 43)}, 0, "invalid_grant", 501481},
		{"no verifier", []string{"code_verifier", ""}, 0, "invalid_grant", 50148},
		{"too late", nil, 11 * time.Minute, "invalid_grant", 70008},
		{"a code nobody gave", []string{"code", "1.made-up"}, 0, "invalid_grant", 9002313},
		{"a secret from a public client", []string{"client_secret", "x"}, 0, "invalid_client", 700025},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := newClock()
			app := start(t, entra.Options{Clock: now.Now})
			code := app.authorize().Get("code")
			now.Advance(c.age)
			app.redeem(code, c.pairs...).refused(t, c.oauth, c.aadsts)
		})
	}

	app := start(t, entra.Options{Strict: true})
	code := app.authorize().Get("code")
	first := app.redeem(code).must(t)
	app.redeem(code).refused(t, "invalid_grant", 54005)
	// RFC 6749 section 4.1.2: what the code had brought is revoked.
	app.refresh(first.Refresh).refused(t, "invalid_grant", 50173)
}

func TestAVerifierForACodeWithoutAChallengeIsRefused(t *testing.T) {
	app := start(t, entra.Options{})
	code := app.authorize("code_challenge", "", "code_challenge_method", "").Get("code")
	app.redeem(code).refused(t, "invalid_grant", 501481)
	app.redeem(code, "code_verifier", "").must(t)
}

func TestAuthorizationErrorsGoBackToTheApplicationWithItsState(t *testing.T) {
	app := start(t, entra.Options{Users: []entra.User{{Username: entra.Ana}, {Username: "bo@fabrikam.com"}}})
	for _, c := range []struct {
		name  string
		pairs []string
		want  string
	}{
		{"another response type", []string{"response_type", "token"}, "unsupported_response_type"},
		{"no scope", []string{"scope", ""}, "invalid_request"},
		{"two resources", []string{"scope", "https://a.example/x https://b.example/y"}, "invalid_scope"},
		{"a response mode unknown", []string{"response_mode", "carrier_pigeon"}, "invalid_request"},
		{"a challenge method unknown", []string{"code_challenge_method", "S512"}, "invalid_request"},
		{"claims that are no object", []string{"claims", "[]"}, "invalid_request"},
		{"a user unknown", []string{"login_hint", "nobody@contoso.com"}, "access_denied"},
		{"the user declines", []string{"error", "access_denied"}, "access_denied"},
		{"in a fragment", []string{"response_mode", "fragment", "scope", ""}, "invalid_request"},
		{"in a form", []string{"response_mode", "form_post", "scope", ""}, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			back := app.authorize(c.pairs...)
			wantEqual(t, "error", back.Get("error"), c.want)
			wantEqual(t, "state", back.Get("state"), "s1")
			wantEqual(t, "code", back.Get("code"), "")
		})
	}
	back, err := app.idp.SignInAs("bo@fabrikam.com", microsoft+entra.Tenant+"/oauth2/v2.0/authorize?"+form(
		"client_id", entra.PublicClient, "response_type", "code", "redirect_uri", redirect, "scope", scope).Encode())
	if err != nil || !strings.Contains(back, "error=access_denied") || !strings.Contains(back, "AADSTS50020") {
		t.Errorf("a user of another tenant: %q, %v", back, err)
	}
}

func TestNothingIsSentToAnAddressThatIsNotTheClients(t *testing.T) {
	app := start(t, entra.Options{Clients: []entra.Client{
		{ID: entra.PublicClient}, {ID: "web", Secret: "s", RedirectURIs: []string{"https://app.example/cb", "http://localhost/cb"}},
	}})
	for _, c := range []struct {
		name             string
		client, redirect string
		allowed          bool
	}{
		{"a foreign address for a client that registered none", entra.PublicClient, "https://evil.example/", false},
		{"the native client's page", entra.PublicClient, "https://login.microsoftonline.com/common/oauth2/nativeclient", true},
		{"any loopback port", entra.PublicClient, "http://127.0.0.1:50123/x", true},
		{"a registered address", "web", "https://app.example/cb", true},
		{"a registered address with more path", "web", "https://app.example/cb/x", false},
		{"a registered loopback address on another port", "web", "http://localhost:50123/cb", true},
		{"a loopback address with another path", "web", "http://localhost:50123/other", false},
		{"a client nobody knows", "nobody", redirect, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			back, err := app.idp.SignIn(microsoft + "common/oauth2/v2.0/authorize?" + form(
				"client_id", c.client, "response_type", "code", "redirect_uri", c.redirect, "scope", scope).Encode())
			if c.allowed != (err == nil) {
				t.Errorf("got %q, %v", back, err)
			}
		})
	}
}

func TestWithoutAHintAPersonChooses(t *testing.T) {
	app := start(t, entra.Options{Users: []entra.User{{Username: entra.Ana}, {Username: "bo@contoso.com", Name: "Bo <b>"}}})
	authURL := microsoft + "common/oauth2/v2.0/authorize?" + form(
		"client_id", entra.PublicClient, "response_type", "code", "redirect_uri", redirect, "scope", scope).Encode()
	resp, err := app.idp.HTTPClient().Get(authURL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "login_hint=bo%40contoso.com") || strings.Contains(string(page), "<b>") {
		t.Errorf("%s\n%s", resp.Status, page)
	}
	back, err := app.idp.SignIn(authURL + "&prompt=none&login_hint=")
	if err != nil || !strings.Contains(back, "code=") {
		t.Errorf("SignIn takes the first user: %q, %v", back, err)
	}
}

func TestTheAnswerHasTheScopesOfTheRequest(t *testing.T) {
	app := start(t, entra.Options{RefreshIn: 30 * time.Minute})
	full := app.redeem(app.authorize("nonce", "n1").Get("code")).must(t)
	for _, field := range []string{"access_token", "refresh_token", "id_token", "client_info", "expires_in", "ext_expires_in", "refresh_in"} {
		if _, ok := full.fields[field]; !ok {
			t.Errorf("%s is missing", field)
		}
	}
	if got := full.fields["scope"]; got != "openid profile https://graph.microsoft.com/Mail.Read" {
		t.Errorf("scope is %q", got)
	}
	id := claims(t, full.fields["id_token"].(string))
	wantEqual(t, "aud", id["aud"], entra.PublicClient)
	wantEqual(t, "nonce", id["nonce"], "n1")
	wantEqual(t, "tid", id["tid"], entra.Tenant)
	wantEqual(t, "iss", id["iss"], microsoft+entra.Tenant+"/v2.0")
	at := claims(t, full.Access)
	wantEqual(t, "aud", at["aud"], "https://graph.microsoft.com")
	wantEqual(t, "scp", at["scp"], "openid profile Mail.Read")

	little := app.redeem(app.authorize("scope", "User.Read").Get("code"), "client_info", "").must(t)
	for _, field := range []string{"refresh_token", "id_token", "client_info"} {
		if _, ok := little.fields[field]; ok {
			t.Errorf("%s wasn't asked for", field)
		}
	}
}

func TestAnUnknownTenantIsSaidSo(t *testing.T) {
	app := start(t, entra.Options{})
	resp, err := app.idp.HTTPClient().Get(microsoft + "nowhere.example/v2.0/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	r, err := read(resp)
	if err != nil {
		t.Fatal(err)
	}
	r.refused(t, "invalid_tenant", 90002)
	if r.Status != http.StatusBadRequest {
		t.Errorf("status %d: MSAL Python reads a 4xx as a tenant that isn't there", r.Status)
	}
}

func TestClientsProveThemselves(t *testing.T) {
	app := start(t, entra.Options{})
	ask := func(edit func(*http.Request, url.Values)) response {
		t.Helper()
		v := form("grant_type", entra.ClientCredentials, "scope", "https://graph.microsoft.com/.default",
			"client_id", entra.ConfidentialClient, "client_secret", entra.ConfidentialSecret)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, microsoft+entra.Tenant+"/oauth2/v2.0/token", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		edit(req, v)
		req.Body = io.NopCloser(strings.NewReader(v.Encode()))
		resp, err := app.idp.HTTPClient().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		r, err := read(resp)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	basic := func(id, secret string) func(*http.Request, url.Values) {
		return func(r *http.Request, v url.Values) {
			v.Del("client_id")
			v.Del("client_secret")
			r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
		}
	}
	set := func(name, value string) func(*http.Request, url.Values) {
		return func(_ *http.Request, v url.Values) { v.Set(name, value) }
	}
	got := ask(func(*http.Request, url.Values) {}).must(t)
	if got.Refresh != "" || got.fields["client_info"] != nil || got.fields["scope"] != nil {
		t.Errorf("an application's answer has a user's fields: %v", got.fields)
	}
	ask(basic(entra.ConfidentialClient, entra.ConfidentialSecret)).must(t)
	wrong := ask(basic(entra.ConfidentialClient, "wrong"))
	wrong.refused(t, "invalid_client", 7000215)
	if wrong.Status != http.StatusUnauthorized || wrong.Header.Get("WWW-Authenticate") == "" {
		t.Errorf("RFC 6749 section 5.2 wants 401 and WWW-Authenticate, got %d %v", wrong.Status, wrong.Header)
	}
	ask(set("client_secret", "wrong")).refused(t, "invalid_client", 7000215)
	ask(set("client_secret", "")).refused(t, "invalid_client", 7000218)
	ask(set("client_id", "nobody")).refused(t, "unauthorized_client", 700016)
	ask(set("client_id", entra.PublicClient)).refused(t, "invalid_client", 700025)
	ask(set("scope", "https://graph.microsoft.com/Mail.Read")).refused(t, "invalid_scope", 1002012)
	ask(set("grant_type", "saml")).refused(t, "unsupported_grant_type", 70003)
	ask(set("grant_type", "")).refused(t, "invalid_request", 900144)
	ask(func(_ *http.Request, v url.Values) { v.Add("scope", "x") }).refused(t, "invalid_request", 90015)
}

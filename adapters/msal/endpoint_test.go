package msal_test

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// editDiscovery changes the provider's discovery document on its way.
func editDiscovery(w *wire, edit func(text string) string) {
	w.onAnswer(func(req *http.Request, resp *http.Response) error {
		if !strings.HasSuffix(req.URL.Path, "/.well-known/openid-configuration") {
			return nil
		}
		raw, err := io.ReadAll(resp.Body)
		body(resp, edit(string(raw)))
		return err
	})
}

func (w *wire) requestsForTokens() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.forms)
}

func TestARedirectTakesNoSecretAlong(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		idp := start(t, entra.Options{})
		w, cache := newWire(idp), tokencache.New()
		c := private(t, w, common) // its http.Client follows redirects
		signIn(t, idp, c, cache, ana)
		secret, asked := refreshToken(t, cache, query(ana)), w.requestsForTokens()
		w.onTokens(func(resp *http.Response) error {
			resp.StatusCode = status
			resp.Header.Set("Location", "https://thief.example/token?x="+secret)
			body(resp, "")
			return nil
		})
		err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
		var refusal *msal.Error
		if !errors.As(err, &refusal) || refusal.Status != status || !strings.Contains(err.Error(), "https://thief.example") {
			t.Errorf("status %d gives %v", status, err)
		}
		if n := w.requestsForTokens() - asked; n != 1 {
			t.Errorf("status %d: %d requests were sent, want 1", status, n)
		}
		mustNotShow(t, err, secret)
		mustConcern(t, err, core.FailureOfProvider)
	}
}

func TestSecretsGoToTheAuthorityAlone(t *testing.T) {
	const own = "https://login.microsoftonline.com/common/oauth2/v2.0/token"
	for what, row := range map[string]struct {
		endpoint string
		ok       bool
	}{
		"its own host":                    {own, true},
		"its own host, in capitals":       {"https://LOGIN.Microsoftonline.com/common/oauth2/v2.0/token", true},
		"its own host and port":           {"https://login.microsoftonline.com:443/common/oauth2/v2.0/token", true},
		"an alias":                        {"https://login.windows.net/common/oauth2/v2.0/token", true},
		"the host of a national cloud":    {"https://login.microsoftonline.us/common/oauth2/v2.0/token", true},
		"another host":                    {"https://thief.example/token", false},
		"a host that begins like its own": {"https://login.microsoftonline.com.thief.example/token", false},
		"a user name like its own":        {"https://login.microsoftonline.com@thief.example/token", false},
		"its own host, with a user name":  {"https://thief@login.microsoftonline.com/common/oauth2/v2.0/token", false},
		"another port":                    {"https://login.microsoftonline.com:8443/token", false},
		"plain http":                      {"http://login.microsoftonline.com/common/oauth2/v2.0/token", false},
		"no scheme":                       {"//thief.example/token", false},
		"a path":                          {"/common/oauth2/v2.0/token", false},
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			signIn(t, idp, private(t, w, common), cache, ana)
			asked := w.requestsForTokens()
			editDiscovery(w, func(text string) string { return strings.ReplaceAll(text, own, row.endpoint) })
			err := private(t, w, common).Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
			if sent := w.requestsForTokens() > asked; sent != row.ok {
				t.Errorf("the refresh token was sent: %v, want %v; the error is %v", sent, row.ok, err)
			}
			if !row.ok {
				mustConcern(t, err, core.FailureOfProvider)
			}
		})
	}
}

// A browser opens whatever it is told to: programs, files, scripts.
func TestABrowserIsLedToTheProviderAlone(t *testing.T) {
	const own = "https://login.microsoftonline.com/common/oauth2/v2.0/authorize"
	for _, endpoint := range []string{
		"file:///etc/passwd", "javascript:alert(1)", "ms-msdt:/id x", "//thief.example/authorize", "--flag", "calculator:",
		"http://login.microsoftonline.com/authorize", "https://thief.example/authorize", "https://login.microsoftonline.com@thief.example/authorize", `\u001b[31m`,
	} {
		t.Run(endpoint, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w := newWire(idp)
			editDiscovery(w, func(text string) string { return strings.ReplaceAll(text, own, endpoint) })
			address, err := public(t, w, common).AuthCodeURL(t.Context(), msal.CodeRequest{RedirectURL: localhost, Scopes: scopes, State: rand.Text()})
			if err == nil || address != "" {
				t.Errorf("the address is %q", address)
			}
			mustNotShow(t, err, "\x1b")
		})
	}
}

func TestDiscoveryStaysWithHTTPS(t *testing.T) {
	idp := start(t, entra.Options{})
	w := newWire(idp)
	w.onAnswer(func(req *http.Request, resp *http.Response) error {
		if strings.HasSuffix(req.URL.Path, "/.well-known/openid-configuration") && req.URL.Scheme == "https" {
			resp.StatusCode = http.StatusFound
			resp.Header.Set("Location", "http://login.microsoftonline.com"+req.URL.Path)
		}
		return nil
	})
	_, err := public(t, w, common).AuthCodeURL(t.Context(), msal.CodeRequest{RedirectURL: localhost, Scopes: scopes})
	if err == nil || !strings.Contains(err.Error(), "not https") {
		t.Errorf("the error is %v", err)
	}
}

// MSAL Go finds no refresh token after such an answer, and the user would be sent
// to sign in for nothing.
func TestInstanceDiscoveryThatSaysNothingIsNoSignOut(t *testing.T) {
	for what, answer := range map[string]string{
		"an empty object":          `{}`,
		"no metadata":              `{"tenant_discovery_endpoint":"https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration"}`,
		"metadata of other hosts":  `{"metadata":[{"preferred_network":"x.example","preferred_cache":"x.example","aliases":["x.example"]}]}`,
		"metadata of another type": `{"metadata":7}`,
		"an entry without aliases": `{"metadata":[{"preferred_network":"login.microsoftonline.com"}]}`,
		"no JSON":                  `<html>`,
		"nothing":                  "",
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			signIn(t, idp, public(t, w, common), cache, ana)
			w.onAnswer(func(req *http.Request, resp *http.Response) error {
				if strings.HasSuffix(req.URL.Path, "/discovery/instance") {
					body(resp, answer)
				}
				return nil
			})
			if err := public(t, w, common).Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
				t.Error(err)
			}
		})
	}
}

// A gateway may answer for the provider, and its words are about no grant.
func TestARefusedDiscoveryIsNoSignOut(t *testing.T) {
	for _, path := range []string{"/discovery/instance", "/.well-known/openid-configuration"} {
		for _, code := range []string{"invalid_grant", "interaction_required"} {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			signIn(t, idp, public(t, w, common), cache, ana)
			w.onAnswer(func(req *http.Request, resp *http.Response) error {
				if strings.HasSuffix(req.URL.Path, path) {
					resp.StatusCode = http.StatusBadRequest
					body(resp, `{"error":"`+code+`"}`)
				}
				return nil
			})
			err := public(t, w, common).Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
			var refused *msal.Error
			if errors.Is(err, core.ErrReauthRequired) || errors.As(err, &refused) && refused.FailureScope() != core.FailureOfProvider {
				t.Errorf("%s answers %s: %v", path, code, err)
			}
			if path != "/discovery/instance" && refused == nil {
				t.Errorf("%s answers %s: %v", path, code, err)
			}
		}
	}
}

func TestThePortOfHTTPSMakesNoOtherProvider(t *testing.T) {
	c, err := msal.NewPublic("id", msal.WithAuthority("https://login.microsoftonline.com:443/common"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Environment() != "login.microsoftonline.com" || c.Authority() != common {
		t.Errorf("got %s at %s", c.Environment(), c.Authority())
	}
}

// Libraries write client IDs and hosts in the letter case that their program has.
func TestLetterCaseMakesNoOtherClientOrProvider(t *testing.T) {
	for what, edit := range map[string]func(string) string{
		"the client": func(text string) string {
			return strings.ReplaceAll(text, `"client_id":"`+entra.PublicClient, `"client_id":"`+strings.ToUpper(entra.PublicClient))
		},
		"the provider": func(text string) string {
			return strings.ReplaceAll(text, `"login.microsoftonline.com"`, `"Login.MicrosoftOnline.com"`)
		},
		"an alias": func(text string) string {
			return strings.ReplaceAll(text, `"login.microsoftonline.com"`, `"STS.Windows.net"`)
		},
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			c := public(t, w, common)
			signIn(t, idp, c, cache, ana)
			other := edit(document(t, cache))
			if other == document(t, cache) {
				t.Fatal("the record is the same")
			}
			cache, err := tokencache.Parse([]byte(other))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
					t.Fatal(err)
				}
			}
			q := query(ana)
			q.ClientID, q.Environment = strings.ToUpper(entra.PublicClient), "LOGIN.windows.NET"
			if err := c.Refresh(t.Context(), cache, core.Refresh{Query: q}); err != nil {
				t.Errorf("the query in another letter case: %v", err)
			}
		})
	}
}

func TestAQueryOfAnotherClientOrProviderIsRefused(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	asked := w.requestsForTokens()
	for what, edit := range map[string]func(*tokencache.Query){
		"client":   func(q *tokencache.Query) { q.ClientID = entra.ConfidentialClient },
		"provider": func(q *tokencache.Query) { q.Environment = "login.example.com" },
	} {
		q := query(ana)
		edit(&q)
		err := c.Refresh(t.Context(), cache, core.Refresh{Query: q})
		if err == nil || errors.Is(err, core.ErrReauthRequired) {
			t.Errorf("another %s gives %v", what, err)
		}
	}
	if w.requestsForTokens() != asked {
		t.Error("the provider was asked")
	}
}

func TestScopesInOneTextAreSeveral(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	q := query(ana)
	q.Scopes = []string{"User.Read, Mail.Read", " "}
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: q}); err != nil {
		t.Fatal(err)
	}
	accessToken(t, cache, query(ana))
	if got := msal.Scopes("User.Read openid,Mail.Read", ""); strings.Join(got, "|") != "User.Read|Mail.Read" {
		t.Errorf("the scopes are %q", got)
	}
	app := private(t, w, "https://login.microsoftonline.com/"+entra.Tenant)
	if _, err := app.AppToken(t.Context(), msal.AppRequest{Scopes: []string{" " + graphApp + "\n"}}); err != nil {
		t.Error(err)
	}
}

// The text of a provider's documents and pages must not write to a terminal.
func TestNoTextOfTheProvidersIsShownRaw(t *testing.T) {
	const evil = "\x1b]0;pwned\a\u202e\r\nSet-Cookie: x"
	for what, edit := range map[string]func(*http.Request, *http.Response){
		"the issuer": func(req *http.Request, resp *http.Response) {
			if strings.Contains(req.URL.Path, "openid-configuration") {
				body(resp, `{"issuer":"https://`+`x\u001b]0;pwned\u0007.example","authorization_endpoint":"https://x/","token_endpoint":"https://x/"}`)
			}
		},
		"a refusal of discovery": func(req *http.Request, resp *http.Response) {
			if strings.Contains(req.URL.Path, "openid-configuration") {
				resp.StatusCode = 400
				body(resp, `{"error":"invalid_tenant","error_description":"\u001b]0;pwned\u0007\u202e\r\nx","suberror":"\u001b[31m","correlation_id":"\u001b[31m","claims":"{\"a\":\"\u202e\u0085\"}"}`)
			}
		},
		"a page": func(_ *http.Request, resp *http.Response) {
			resp.StatusCode, resp.Status = 502, "502 "+evil
			resp.Header.Set("X-Evil", "\x1b[31m")
			body(resp, evil)
		},
		"an endpoint": func(req *http.Request, resp *http.Response) {
			if strings.Contains(req.URL.Path, "openid-configuration") {
				body(resp, `{"issuer":"https://login.microsoftonline.com/","authorization_endpoint":"https://x/","token_endpoint":"https://x/\u202e\u009b"}`)
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			signIn(t, idp, public(t, w, common), cache, ana)
			w.onAnswer(func(req *http.Request, resp *http.Response) error {
				edit(req, resp)
				return nil
			})
			err := public(t, w, common).Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
			if err == nil {
				t.Fatal("no error")
			}
			mustNotShow(t, err, "\x1b", "\a", "\u202e", "\u0085", "\n", "\u009b")
		})
	}
}

// A proxy's words, and whatever else the network says.
func TestTheNetworksErrorsAreShownInOneLine(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	secret := refreshToken(t, cache, query(ana))
	cause := errors.New("proxy: \x1b[31m" + secret)
	w.base = failing{cause}
	err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
	if !errors.Is(err, cause) || strings.ContainsAny(err.Error(), "\x1b\n") || strings.Contains(err.Error(), secret) {
		t.Errorf("the error is %q", err)
	}
}

// A private cloud's hosts are those that Microsoft's instance discovery lists.
func TestAnAliasByInstanceDiscoveryIsTheAuthority(t *testing.T) {
	for endpoint, trusted := range map[string]bool{"https://sts.private.example/token": true, "https://sts.other.example/token": false} {
		sent := false
		provider := roundTrip(func(req *http.Request) (*http.Response, error) {
			text := `{"token_endpoint":"` + endpoint + `","authorization_endpoint":"https://login.private.example/authorize","issuer":"https://login.private.example/t"}`
			switch {
			case req.Method == http.MethodPost:
				sent, text = true, `{"access_token":"fresh","expires_in":3600}`
			case strings.HasSuffix(req.URL.Path, "/discovery/instance"):
				text = `{"tenant_discovery_endpoint":"https://login.private.example/t/v2.0/.well-known/openid-configuration","metadata":[
					{"preferred_network":"other","preferred_cache":"other","aliases":["sts.other.example"]},
					{"preferred_network":"private","preferred_cache":"private","aliases":["login.private.example","sts.private.example"]}]}`
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: req}, nil
		})
		c, err := msal.NewPublic("app", msal.WithAuthority("https://login.private.example/t"), msal.WithHTTPClient(&http.Client{Transport: provider}))
		if err != nil {
			t.Fatal(err)
		}
		cache := tokencache.New()
		if err := cache.Put(tokencache.TokenResponse{
			AccessToken: "stale", RefreshToken: "rt", Scope: "User.Read", ClientID: "app", Environment: "login.private.example", Tenant: "t", HomeAccountID: "uid.utid",
		}); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time the documents are known
			sent = false
			err = c.Refresh(t.Context(), cache, core.Refresh{Query: tokencache.Query{Scopes: []string{"User.Read"}}})
			if sent != trusted || (err == nil) != trusted {
				t.Errorf("%s: sent %v, want %v: %v", endpoint, sent, trusted, err)
			}
		}
	}
}

func TestARefreshGoesToTheTenantMeant(t *testing.T) {
	const home, guest = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	for tenant, want := range map[string]string{"": home, home: home, guest: guest} {
		var asked []string
		provider := roundTrip(func(req *http.Request) (*http.Response, error) {
			text := `{"token_endpoint":"https://idp.example.com/token","authorization_endpoint":"https://idp.example.com/authorize","issuer":"https://idp.example.com/t"}`
			if req.Method == http.MethodPost {
				text = `{"access_token":"fresh","expires_in":7200}`
			} else {
				asked = append(asked, strings.Split(req.URL.Path, "/")[1])
			}
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text)), Request: req}, nil
		})
		c, err := msal.NewPublic("app", msal.WithAuthority("https://idp.example.com/common"),
			msal.WithHTTPClient(&http.Client{Transport: provider}), msal.WithInstanceDiscovery(false))
		if err != nil {
			t.Fatal(err)
		}
		cache := tokencache.New()
		for _, realm := range []string{home, guest} {
			if err := cache.Put(tokencache.TokenResponse{
				AccessToken: "of " + realm, RefreshToken: "rt", Scope: "User.Read", ExpiresIn: 3600, ClientID: "app", Environment: "idp.example.com", Tenant: realm, HomeAccountID: "uid." + home,
			}); err != nil {
				t.Fatal(err)
			}
		}
		q := tokencache.Query{Tenant: tenant, Scopes: []string{"User.Read"}}
		if err := c.Refresh(t.Context(), cache, core.Refresh{Query: q}); err != nil {
			t.Fatal(err)
		}
		if token := accessToken(t, cache, q); strings.Join(asked, " ") != want || token.Realm != want || token.Secret.Reveal() != "fresh" {
			t.Errorf("for %q the provider is asked as %q, and the token is of %s; want %s", tenant, asked, token.Realm, want)
		}
	}
}

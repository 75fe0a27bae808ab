package entra_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// raw is a client without any library in between.
type raw struct {
	t   testing.TB
	idp *entra.Server
}

type response struct {
	Status  int
	Header  http.Header
	Error   string
	Codes   []int
	Access  string
	Refresh string
	fields  map[string]any
}

const (
	redirect = "http://localhost:8400/callback"
	verifier = "a-verifier-of-at-least-forty-three-characters"
	scope    = "openid profile offline_access https://graph.microsoft.com/Mail.Read"
)

func start(t *testing.T, o entra.Options) raw {
	t.Helper()
	return raw{t, entra.Start(t, o)}
}

func challenge() string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// form is a url.Values of pairs; later pairs win, an empty value deletes.
func form(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

// authorize asks for a code and returns the query (or fragment) the application gets.
func (c raw) authorize(pairs ...string) url.Values {
	c.t.Helper()
	q := form(append([]string{
		"client_id", entra.PublicClient, "response_type", "code", "redirect_uri", redirect, "scope", scope, "state", "s1",
		"login_hint", entra.Ana, "code_challenge", challenge(), "code_challenge_method", "S256",
	}, pairs...)...)
	back, err := c.idp.SignIn(microsoft + "common/oauth2/v2.0/authorize?" + q.Encode())
	if err != nil {
		c.t.Fatal(err)
	}
	u, err := url.Parse(back)
	if err != nil {
		c.t.Fatal(err)
	}
	if u.Fragment != "" {
		v, err := url.ParseQuery(u.Fragment)
		if err != nil {
			c.t.Fatal(err)
		}
		return v
	}
	return u.Query()
}

// token posts to the token endpoint.
func (c raw) token(pairs ...string) response {
	c.t.Helper()
	r, err := c.try("common", form(append([]string{"client_id", entra.PublicClient}, pairs...)...))
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c raw) try(tenant string, v url.Values) (response, error) {
	resp, err := c.idp.HTTPClient().PostForm(microsoft+tenant+"/oauth2/v2.0/token", v)
	if err != nil {
		return response{}, err
	}
	return read(resp)
}

func read(resp *http.Response) (response, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return response{}, err
	}
	r := response{Status: resp.StatusCode, Header: resp.Header}
	if err := json.Unmarshal(body, &r.fields); err != nil {
		return r, err
	}
	r.Error, _ = r.fields["error"].(string)
	r.Access, _ = r.fields["access_token"].(string)
	r.Refresh, _ = r.fields["refresh_token"].(string)
	if codes, ok := r.fields["error_codes"].([]any); ok {
		for _, code := range codes {
			r.Codes = append(r.Codes, int(code.(float64)))
		}
	}
	return r, nil
}

func (c raw) redeem(code string, pairs ...string) response {
	c.t.Helper()
	return c.token(append([]string{
		"grant_type", entra.AuthorizationCode, "code", code, "redirect_uri", redirect, "code_verifier", verifier, "client_info", "1",
	}, pairs...)...)
}

func (c raw) signIn() response {
	c.t.Helper()
	return c.redeem(c.authorize().Get("code")).must(c.t)
}

func (c raw) refresh(token string, pairs ...string) response {
	c.t.Helper()
	return c.token(append([]string{"grant_type", entra.Refresh, "refresh_token", token}, pairs...)...)
}

func (r response) must(t testing.TB) response {
	t.Helper()
	if r.Status != http.StatusOK {
		t.Fatalf("got %d: %v", r.Status, r.fields)
	}
	return r
}

func (r response) refused(t testing.TB, oauth string, aadsts int) {
	t.Helper()
	if r.Error != oauth || len(r.Codes) != 1 || r.Codes[0] != aadsts {
		t.Errorf("got %d %s %v, want %s AADSTS%d", r.Status, r.Error, r.Codes, oauth, aadsts)
	}
}

// clock is a time that only tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// claims is the payload of a JWT.
func claims(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// wantEqual compares one thing of an answer, or one counter. what names it.
func wantEqual(t *testing.T, what string, got, want any) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

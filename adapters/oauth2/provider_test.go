package oauth2_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"

	"golang.org/x/oauth2"
)

const (
	clientID     = "client.apps.example.com"
	clientSecret = "client+secret"
)

// provider imitates the token endpoint of one of several providers, and a resource that
// takes the access token it gave last.
type provider struct {
	*httptest.Server
	kind kind

	mu       sync.Mutex
	requests []url.Values
	n        int    // of tokens given
	refresh  string // the refresh token that is good
	revoked  bool   // the family, because a spent one came
	fault    func(w http.ResponseWriter, r *http.Request) (handled bool)
}

// kind is how a provider differs from others.
type kind struct {
	name    string
	inForm  bool // it wants the client's credentials in the form, and refuses them in the header
	form    bool // it answers with a form, and with status 200 whatever is wrong, as GitHub does
	rotates bool // refresh tokens are single use, and the family is revoked where one comes twice
	endless bool // tokens have no expires_in
	lacking bool // and there is no refresh token at all
	idToken bool // there is an id token, and never another refresh token
}

var (
	google = kind{name: "Google", inForm: true, idToken: true}
	gitHub = kind{name: "GitHub", form: true, rotates: true}
	strict = kind{name: "a strict provider", rotates: true}
	plain  = kind{name: "GitHub without expiry", form: true, endless: true, lacking: true}
)

func start(t testing.TB, k kind) *provider {
	t.Helper()
	p := &provider{kind: k}
	p.Server = httptest.NewServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	return p
}

func (p *provider) config() *oauth2.Config {
	return &oauth2.Config{ClientID: clientID, ClientSecret: clientSecret, Scopes: []string{"openid", "files"},
		Endpoint: oauth2.Endpoint{AuthURL: p.URL + "/authorize", DeviceAuthURL: p.URL + "/device", TokenURL: p.URL + "/token"}}
}

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/token":
		p.token(w, r)
	case "/device":
		_, _ = fmt.Fprint(w, `{"device_code":"device","user_code":"AB","verification_uri":"https://example.com","expires_in":60,"interval":1}`)
	default:
		p.mu.Lock()
		good := r.Header.Get("Authorization") == "Bearer "+p.access()
		p.mu.Unlock()
		if !good {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
}

func (p *provider) access() string { return fmt.Sprintf("access-%d", p.n) }

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = r.ParseForm()
	p.requests = append(p.requests, r.PostForm)
	if p.fault != nil && p.fault(w, r) {
		return
	}
	id, secret, inHeader := r.BasicAuth()
	if !inHeader {
		id, secret = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	} else {
		secret, _ = url.QueryUnescape(secret)
	}
	if id != clientID || secret != clientSecret || inHeader == p.kind.inForm {
		p.answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_description": "not so"})
		return
	}
	if r.PostForm.Get("grant_type") == "refresh_token" {
		sent := r.PostForm.Get("refresh_token")
		if sent != p.refresh || p.revoked {
			p.revoked = true
			code := "invalid_grant"
			if p.kind.form {
				code = "bad_refresh_token"
			}
			p.answer(w, http.StatusBadRequest, map[string]any{"error": code, "error_description": sent + " is spent"})
			return
		}
	}
	p.n++
	signIn := r.PostForm.Get("grant_type") != "refresh_token"
	m := map[string]any{"access_token": p.access(), "token_type": "bearer", "scope": "openid files"}
	if !p.kind.endless {
		m["expires_in"] = 3599
	}
	if !p.kind.lacking && (signIn || p.kind.rotates) {
		p.refresh = fmt.Sprintf("refresh-%d", p.n)
		m["refresh_token"] = p.refresh
	}
	if signIn {
		m["team"] = "Ä&1"
		m["number"] = 7
	}
	if p.kind.idToken {
		m["id_token"] = idToken("sub-ana", "ana@example.com")
	}
	p.answer(w, http.StatusOK, m)
}

func (p *provider) answer(w http.ResponseWriter, status int, m map[string]any) {
	if p.kind.form {
		form := make(url.Values)
		for name, value := range m {
			form.Set(name, fmt.Sprint(value))
		}
		w.Header().Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		_, _ = fmt.Fprint(w, form.Encode())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(m)
}

// refreshes are the requests so far that had a refresh token.
func (p *provider) refreshes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, form := range p.requests {
		if form.Get("grant_type") == "refresh_token" {
			n++
		}
	}
	return n
}

func (p *provider) fail(f func(w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

func idToken(subject, email string) string {
	payload, _ := json.Marshal(map[string]any{"iss": "https://accounts.example.com", "sub": subject, "email": email, "aud": clientID})
	return "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".sig"
}

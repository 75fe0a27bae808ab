package bearer_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// tokens answers "old" until something is asked for, then "new".
type tokens struct {
	mu     sync.Mutex
	asked  [][]core.TokenOption
	err    error // of the second call
	sticky bool  // the second token is the first
}

func (s *tokens) Token(_ context.Context, opts ...core.TokenOption) (tokencache.AccessToken, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, opts)
	if len(opts) == 0 || s.sticky {
		return tokencache.AccessToken{Secret: "old"}, nil
	}
	return tokencache.AccessToken{Secret: "new"}, s.err
}

// resource takes "new" only, and echoes what it is sent.
func resource(t *testing.T, challenge string) (*httptest.Server, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		seen = append(seen, r.Header.Get("Authorization")+" "+string(body))
		mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer new" {
			w.Header().Set("WWW-Authenticate", challenge)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = w.Write(body)
	}))
	t.Cleanup(srv.Close)
	return srv, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), seen...)
	}
}

func TestA401IsTriedOnceMoreWithANewToken(t *testing.T) {
	srv, seen := resource(t, "Bearer")
	source := &tokens{}
	client := &http.Client{Transport: &bearer.Transport{Source: source}}
	req, _ := http.NewRequest("POST", srv.URL, strings.NewReader("body"))
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := fmt.Sprint(seen()); resp.StatusCode != 200 || got != "[Bearer old body Bearer new body]" {
		t.Errorf("%s, seen %s", resp.Status, got)
	}
	if req.Header.Get("Authorization") != "" {
		t.Error("the caller's request was changed")
	}
	if !slices.Equal(source.asked[1], []core.TokenOption{core.Rejected("old"), core.Claims("")}) {
		t.Errorf("asked with %v", source.asked[1])
	}
}

func TestAClaimsChallengeReachesTheSource(t *testing.T) {
	const claims = `{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`
	b64 := base64.StdEncoding.EncodeToString([]byte(claims))
	for what, challenge := range map[string]string{
		"as Microsoft sends it":            `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="x", error="insufficient_claims", claims="` + b64 + `"`,
		"without padding":                  `Bearer error="insufficient_claims", claims="` + strings.TrimRight(b64, "=") + `"`,
		"in the alphabet for URLs":         `bearer claims="` + base64.URLEncoding.EncodeToString([]byte(claims)) + `",error="insufficient_claims"`,
		"behind another scheme":            `PoP nonce="a,b=c", Bearer error=insufficient_claims , claims="` + b64 + `"`,
		"behind a token68 and quoted text": `Negotiate abc==, Bearer realm="a \"b\", c", error="insufficient_claims", claims="` + b64 + `"`,
	} {
		t.Run(what, func(t *testing.T) {
			srv, _ := resource(t, challenge)
			source := &tokens{}
			client := &http.Client{Transport: &bearer.Transport{Source: source}}
			resp, err := client.Get(srv.URL)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if !slices.Equal(source.asked[1], []core.TokenOption{core.Rejected("old"), core.Claims(claims)}) {
				t.Errorf("asked with %v", source.asked[1])
			}
		})
	}
}

func TestA401StandsWhenTheBodyCantBeSentAgain(t *testing.T) {
	srv, seen := resource(t, "Bearer")
	client := &http.Client{Transport: &bearer.Transport{Source: &tokens{}}}
	req, _ := http.NewRequest("POST", srv.URL, io.MultiReader(strings.NewReader("body")))
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || len(seen()) != 1 {
		t.Errorf("%s after %d requests", resp.Status, len(seen()))
	}
}

func TestA401StandsWhenThereIsNoOtherToken(t *testing.T) {
	srv, seen := resource(t, "Bearer")
	client := &http.Client{Transport: &bearer.Transport{Source: &tokens{sticky: true}}}
	resp, err := client.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized || len(seen()) != 1 {
		t.Errorf("%s after %d requests", resp.Status, len(seen()))
	}
}

func TestAFailedRefreshAfterA401SaysWhy(t *testing.T) {
	srv, _ := resource(t, "Bearer")
	client := &http.Client{Transport: &bearer.Transport{Source: &tokens{err: core.ErrReauthRequired}}}
	if _, err := client.Get(srv.URL); !errors.Is(err, core.ErrReauthRequired) {
		t.Error(err)
	}
}

func TestATokenIsNotSentInTheClear(t *testing.T) {
	source := &tokens{}
	base := roundTrip(func(*http.Request) (*http.Response, error) { t.Error("sent"); return nil, io.EOF })
	client := &http.Client{Transport: &bearer.Transport{Source: source, Base: base}}
	body := &closeRecorder{Reader: strings.NewReader("x")}
	if _, err := client.Post("http://graph.example/v1.0/me", "text/plain", body); !errors.Is(err, bearer.ErrInsecure) {
		t.Error(err)
	}
	if len(source.asked) != 0 {
		t.Error("a token was asked for")
	}
	if !body.closed {
		t.Error("the body was left open")
	}
}

func TestATokenStaysWithTheHostItWasMeantFor(t *testing.T) {
	redirects := map[string]string{
		"https://graph.example/a":  "https://graph.example/a2",
		"https://graph.example/a2": "https://files.example/b",
		"https://files.example/b":  "https://files.example/b2",
	}
	var at []string
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		at = append(at, r.URL.Host+" "+r.Header.Get("Authorization"))
		resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}
		if location, ok := redirects[r.URL.String()]; ok {
			resp.StatusCode = http.StatusFound
			resp.Header.Set("Location", location)
		}
		return resp, nil
	})
	client := &http.Client{Transport: &bearer.Transport{Source: &tokens{}, Base: base, Hosts: []string{"graph.example", "files.example"}}}
	resp, err := client.Get("https://graph.example/a")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := fmt.Sprint(at); got != "[graph.example Bearer old graph.example Bearer old files.example  files.example ]" {
		t.Error(got)
	}
}

func TestATokenIsSentToItsHostsAlone(t *testing.T) {
	contoso := []string{"Graph.Contoso.com", "files.contoso.com:8443"}
	for _, c := range []struct {
		what  string
		hosts []string
		to    []string
		sent  bool
	}{
		{"Microsoft Graph in all clouds by default", nil, []string{
			"https://graph.microsoft.com/v1.0/me", "https://GRAPH.microsoft.COM:443/", "https://graph.microsoft.us/beta/me", "https://dod-graph.microsoft.us/",
			"https://microsoftgraph.chinacloudapi.cn/", "https://canary.graph.microsoft.com/",
		}, true},
		{"no other host by default", nil, []string{
			"https://evil.example/", "https://graph.microsoft.com.evil.example/", "https://evil-graph.microsoft.com/", "https://graph.microsoft.com@evil.example/",
			"https://microsoft.com/", "https://login.microsoftonline.com/", "https://203.0.113.7/", "https://graph.microsoft.com./",
		}, false},
		{"loopback addresses always", contoso, []string{"http://127.0.0.1:8080/", "http://[::1]/", "http://localhost:80/", "http://LocalHost/", "https://127.0.0.1/"}, true},
		{"loopback addresses with an empty list", []string{}, []string{"http://127.0.0.1:8080/"}, true},
		{"what only looks like a loopback address", nil, []string{"https://localhost.evil.example/", "https://127.0.0.1.evil.example/", "https://127.1/"}, false},
		{"hosts by name, for every port and in any case", contoso, []string{"https://graph.contoso.com/", "https://GRAPH.CONTOSO.COM:8443/"}, true},
		{"a host with its port", contoso, []string{"https://files.contoso.com:8443/"}, true},
		{"another port than the one named", contoso, []string{"https://files.contoso.com/", "https://files.contoso.com:443/"}, false},
		{"Graph itself where others are named", contoso, []string{"https://graph.microsoft.com/"}, false},
		{"no host with an empty list", []string{}, []string{"https://graph.microsoft.com/"}, false},
		{"no wildcard, scheme, or empty name", []string{"*", "*.example", "https://evil.example", ""}, []string{"https://evil.example/", "https:///me", "https://:443/me"}, false},
	} {
		for _, to := range c.to {
			source, sent := &tokens{}, false
			base := roundTrip(func(r *http.Request) (*http.Response, error) {
				sent = true
				return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
			})
			req, err := http.NewRequest("GET", to, nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := (&bearer.Transport{Source: source, Base: base, Hosts: c.hosts}).RoundTrip(req)
			var refused *bearer.HostError
			switch {
			case sent != c.sent || (err == nil) != c.sent:
				t.Errorf("%s: a request to %s: sent %v, %v", c.what, to, sent, err)
			case err != nil && (!errors.As(err, &refused) || refused.Host != req.URL.Host || !strings.Contains(err.Error(), "Hosts")):
				t.Errorf("%s: a request to %s: %v", c.what, to, err)
			case err != nil && len(source.asked) > 0:
				t.Errorf("%s: for a request to %s a token was asked for", c.what, to)
			case err == nil:
				_ = resp.Body.Close()
			}
		}
	}
}

func TestTheErrorOfAStrangersHostIsFitForATerminal(t *testing.T) {
	err := (&bearer.HostError{Host: "evil\x1b]0;owned\a\n.example"}).Error()
	if strings.ContainsAny(err, "\x1b\a\n") {
		t.Errorf("%q", err)
	}
}

func TestATokenThatAHeaderCantCarryIsNotSent(t *testing.T) {
	for _, token := range []tokencache.Secret{"", "at\r\nX-Injected: 1", "at\n", "at\x00", "at\x7f", "t\u00f6ken"} {
		for _, refused := range []bool{false, true} { // the first token, or the one after a 401
			requests := 0
			base := roundTrip(func(r *http.Request) (*http.Response, error) {
				requests++
				return &http.Response{StatusCode: 401, Body: http.NoBody, Request: r}, nil
			})
			source := sourceFunc(func(opts []core.TokenOption) tokencache.Secret {
				if refused && len(opts) == 0 {
					return "good"
				}
				return token
			})
			_, err := (&http.Client{Transport: &bearer.Transport{Source: source, Base: base}}).Get("https://graph.microsoft.com/")
			if want := map[bool]int{true: 1}[refused]; !errors.Is(err, bearer.ErrUnsendable) || requests != want {
				t.Errorf("token %q: %v after %d requests, want %d", token.Reveal(), err, requests, want)
			}
			if err != nil && strings.Contains(err.Error(), "X-Injected") {
				t.Errorf("the error shows the token: %v", err)
			}
		}
	}
}

func TestATokenOfAnotherTypeIsNotSentAsABearerToken(t *testing.T) {
	for tokenType, want := range map[string]error{
		"": nil, "Bearer": nil, "bearer": nil,
		"pop": bearer.ErrUnsendable, "ssh-cert": bearer.ErrUnsendable, "mtls_pop": bearer.ErrUnsendable, "DPoP": bearer.ErrUnsendable,
	} {
		sent := false
		base := roundTrip(func(r *http.Request) (*http.Response, error) {
			sent = true
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
		})
		_, err := (&http.Client{Transport: &bearer.Transport{Source: typed(tokenType), Base: base}}).Get("https://graph.microsoft.com/")
		if !errors.Is(err, want) || sent != (want == nil) {
			t.Errorf("type %q: %v, sent: %t", tokenType, err, sent)
		}
	}
}

// typed is a source of tokens of one type.
type typed string

func (tokenType typed) Token(context.Context, ...core.TokenOption) (tokencache.AccessToken, error) {
	return tokencache.AccessToken{Secret: "at", TokenType: string(tokenType)}, nil
}

type sourceFunc func([]core.TokenOption) tokencache.Secret

func (f sourceFunc) Token(_ context.Context, opts ...core.TokenOption) (tokencache.AccessToken, error) {
	return tokencache.AccessToken{Secret: f(opts)}, nil
}

// stalled is a body that never ends, not even by Close.
type stalled struct{ closed chan struct{} }

func (s stalled) Read([]byte) (int, error) { select {} }
func (s stalled) Close() error             { close(s.closed); return nil }

func TestAStalled401HoldsNobodyUp(t *testing.T) {
	body := stalled{make(chan struct{})}
	base := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.Header.Get("Authorization") == "Bearer old" {
			return &http.Response{StatusCode: 401, Body: body, Request: r}, nil
		}
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		req, _ := http.NewRequest("GET", "https://graph.microsoft.com/", nil)
		resp, err := (&bearer.Transport{Source: &tokens{}, Base: base}).RoundTrip(req)
		if err == nil && resp.StatusCode != 200 {
			err = errors.New(resp.Status)
		}
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Fatal("the request hangs")
	}
	select {
	case <-body.closed:
	case <-ctx.Done():
		t.Error("the body was left open")
	}
}

func TestFewKilobytesOfChallengesAreRead(t *testing.T) {
	claims := base64.StdEncoding.EncodeToString([]byte(`{"access_token":{}}`))
	good := `Bearer error="insufficient_claims", claims="` + claims + `"`
	for _, c := range []struct {
		what    string
		headers []string
		want    string
	}{
		{"a challenge among short ones", []string{"Negotiate", good}, `{"access_token":{}}`},
		{"a megabyte before the challenge", []string{strings.Repeat("a,", 1<<19), good}, ""},
		{"a challenge of a megabyte", []string{`Bearer error="insufficient_claims", claims="` + strings.Repeat("e30g", 1<<18) + `"`}, ""},
		{"many short ones before the challenge", append(slices.Repeat([]string{"Negotiate abcdefgh"}, 1000), good), ""},
	} {
		base := roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": c.headers}, Body: http.NoBody, Request: r}, nil
		})
		source := &tokens{}
		req, _ := http.NewRequest("GET", "https://graph.microsoft.com/", nil)
		if _, err := (&bearer.Transport{Source: source, Base: base}).RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(source.asked[1], []core.TokenOption{core.Rejected("old"), core.Claims(c.want)}) {
			t.Errorf("%s: asked with %v", c.what, source.asked[1])
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type closeRecorder struct {
	io.Reader
	closed bool
}

func (c *closeRecorder) Close() error { c.closed = true; return nil }

func FuzzAnyHeaderIsSurvived(f *testing.F) {
	f.Add(`Bearer realm="", error="insufficient_claims", claims="e30="`)
	f.Add("\"=,\\\x00é")
	f.Fuzz(func(t *testing.T, header string) {
		base := roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 401, Header: http.Header{"Www-Authenticate": {header}}, Body: io.NopCloser(&bytes.Buffer{}), Request: r}, nil
		})
		u, _ := url.Parse("https://graph.microsoft.com")
		resp, err := (&bearer.Transport{Source: &tokens{}, Base: base}).RoundTrip(&http.Request{URL: u, Header: http.Header{}})
		if err != nil || resp.StatusCode != 401 {
			t.Error(resp, err)
		}
	})
}

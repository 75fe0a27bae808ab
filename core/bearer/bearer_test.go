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
	client := &http.Client{Transport: &bearer.Transport{Source: &tokens{}, Base: base}}
	resp, err := client.Get("https://graph.example/a")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := fmt.Sprint(at); got != "[graph.example Bearer old graph.example Bearer old files.example  files.example ]" {
		t.Error(got)
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
		u, _ := url.Parse("https://graph.example")
		resp, err := (&bearer.Transport{Source: &tokens{}, Base: base}).RoundTrip(&http.Request{URL: u, Header: http.Header{}})
		if err != nil || resp.StatusCode != 401 {
			t.Error(resp, err)
		}
	})
}

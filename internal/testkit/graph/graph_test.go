package graph_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/graph"
)

// tokens knows the good ones, and calls the others what they are called.
type tokens map[string]graph.Token

func (k tokens) Verify(token string) (graph.Token, error) {
	switch token {
	case "expired":
		return graph.Token{}, graph.ErrExpired
	case "revoked":
		return graph.Token{}, graph.ErrRevoked
	}
	t, ok := k[token]
	if !ok {
		return graph.Token{}, graph.ErrInvalid
	}
	return t, nil
}

func call(g *graph.Server, method, path, authorization, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w
}

func TestEveryBadTokenIsTold401AndWhy(t *testing.T) {
	g := graph.New(tokens{"good": {Username: "ana@contoso.com"}})
	for _, c := range []struct{ name, authorization, reason string }{
		{"no header", "", ""},
		{"another scheme", "Basic Zm9vOmJhcg==", ""},
		{"no token", "Bearer ", ""},
		{"a token of somebody else", "Bearer made-up", `error="invalid_token"`},
		{"an old token", "Bearer expired", `error="invalid_token"`},
		{"a revoked token", "bearer revoked", `error="invalid_token"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := call(g, http.MethodGet, "/v1.0/me", c.authorization, "")
			said := w.Header().Get("WWW-Authenticate")
			if w.Code != http.StatusUnauthorized {
				t.Errorf("the status is %d, want 401", w.Code)
			}
			if !strings.HasPrefix(said, "Bearer ") {
				t.Errorf("the challenge is %q, want one for a bearer token", said)
			}
			if !strings.Contains(said, c.reason) {
				t.Errorf("the challenge is %q, and should say %q", said, c.reason)
			}
			if c.reason == "" && strings.Contains(said, "error=") {
				t.Errorf("RFC 6750 section 3.1 wants no error code here: %s", said)
			}
		})
	}
	if w := call(g, http.MethodGet, "/v1.0/me", "Bearer good", ""); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "ana@contoso.com") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want := graph.Calls{OK: 1, Unauthorized: 6, Missing: 3, Invalid: 1, Expired: 1, Revoked: 1}
	if got := g.Calls(); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}

func TestDemandedClaimsAreChallengedUntilATokenHasThem(t *testing.T) {
	const demanded = `{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`
	parsed := func(s string) (v map[string]any) {
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	g := graph.New(tokens{
		"without": {},
		"other":   {Claims: parsed(`{"access_token":{"nbf":{"essential":true,"value":"1"}}}`)},
		"with":    {Claims: parsed(`{"access_token":{"nbf":{"essential":true,"value":"1604106651"},"xms_cc":{"values":["CP1"]}}}`)},
	})
	if err := g.Demand(demanded); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]int{"without": 401, "other": 401, "with": 200} {
		w := call(g, http.MethodGet, "/v1.0/me", "Bearer "+token, "")
		if w.Code != want {
			t.Errorf("%s: %d, want %d", token, w.Code, want)
		}
		if want != http.StatusUnauthorized {
			continue
		}
		said := w.Header().Get("WWW-Authenticate")
		claims := regexp.MustCompile(`error="insufficient_claims", claims="([^"]*)"`).FindStringSubmatch(said)
		if claims == nil {
			t.Fatalf("%s: %s", token, said)
		}
		if got, err := base64.StdEncoding.DecodeString(claims[1]); err != nil || string(got) != demanded {
			t.Errorf("challenged with %s, %v", got, err)
		}
	}
	if err := g.Demand(""); err != nil {
		t.Fatal(err)
	}
	if w := call(g, http.MethodGet, "/v1.0/me", "Bearer without", ""); w.Code != http.StatusOK {
		t.Errorf("after the demand: %d", w.Code)
	}
}

func TestAMessageComesBackWhole(t *testing.T) {
	g := graph.New(tokens{"good": {}})
	w := call(g, http.MethodPost, "/v1.0/me/messages", "Bearer good", `{"subject":"hello"}`)
	var m map[string]any
	if w.Code != http.StatusCreated {
		t.Errorf("the status is %d, want 201", w.Code)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
		t.Fatalf("the answer isn't JSON: %v: %s", err, w.Body)
	}
	if m["subject"] != "hello" {
		t.Errorf("the subject is %q, want the one sent", m["subject"])
	}
	if m["id"] == "" {
		t.Error("the message has no id")
	}
	if w := call(g, http.MethodPost, "/v1.0/me/messages", "Bearer good", ""); w.Code != http.StatusBadRequest {
		t.Errorf("a body that got lost: %d", w.Code)
	}
}

func TestABodyIsLeftUnreadWhileTheTokenIsBad(t *testing.T) {
	g := graph.New(tokens{})
	body := strings.NewReader(`{"subject":"hello"}`)
	r := httptest.NewRequest(http.MethodPost, "/v1.0/me/messages", io.NopCloser(body))
	r.Header.Set("Authorization", "Bearer expired")
	g.ServeHTTP(httptest.NewRecorder(), r)
	if body.Len() != 19 {
		t.Errorf("%d bytes are left of 19", body.Len())
	}
}

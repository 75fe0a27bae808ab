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

func TestMessagesComePageByPage(t *testing.T) {
	g := graph.New(tokens{"ana": {Username: "ana@contoso.com"}, "bo": {Username: "bo@contoso.com"}})
	for _, subject := range []string{"1", "2", "3", "4", "5"} {
		call(g, http.MethodPost, "/v1.0/me/messages", "Bearer ana", `{"subject":"`+subject+`"}`)
	}
	var got []string
	pages := 0
	for next := "/v1.0/me/messages?$top=2"; next != ""; pages++ {
		var page struct {
			Value []struct{ Subject string }
			Next  string `json:"@odata.nextLink"`
		}
		if err := json.Unmarshal(call(g, http.MethodGet, next, "Bearer ana", "").Body.Bytes(), &page); err != nil {
			t.Fatal(err)
		}
		for _, message := range page.Value {
			got = append(got, message.Subject)
		}
		next = page.Next
	}
	if strings.Join(got, "") != "12345" || pages != 3 {
		t.Errorf("messages %v on %d pages", got, pages)
	}
	if text := call(g, http.MethodGet, "/v1.0/me/messages", "Bearer bo", "").Body.String(); !strings.Contains(text, `"value":[]`) {
		t.Errorf("another user has %s", text)
	}
}

func TestFilesAreElsewhereAndWantNoToken(t *testing.T) {
	g := graph.New(tokens{"good": {Username: "ana@contoso.com"}})
	var session struct{ UploadURL string }
	if err := json.Unmarshal(call(g, http.MethodPost, "/v1.0/me/drive/root:/notes.txt:/createUploadSession", "Bearer good", "{}").Body.Bytes(), &session); err != nil {
		t.Fatal(err)
	}
	part := func(content, where, authorization string) int {
		r := httptest.NewRequest(http.MethodPut, session.UploadURL, strings.NewReader(content))
		r.Header.Set("Content-Range", where)
		r.Header.Set("Authorization", authorization)
		if authorization == "" {
			r.Header.Del("Authorization")
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		return w.Code
	}
	for _, step := range []struct {
		content, where, authorization string
		status                        int
	}{
		{"hel", "bytes 0-2/5", "Bearer good", 401},
		{"hel", "bytes 0-2/5", "", 202},
		{"hel", "bytes 0-2/5", "", 416},
		{"lo", "bytes 3-4/5", "", 201},
	} {
		if status := part(step.content, step.where, step.authorization); status != step.status {
			t.Errorf("%s with %q: %d, want %d", step.where, step.authorization, status, step.status)
		}
	}
	moved := call(g, http.MethodGet, "/v1.0/drives/d/items/root:%2Fnotes.txt:/content", "Bearer good", "")
	got := call(g, http.MethodGet, moved.Header().Get("Location"), "", "")
	if moved.Code != http.StatusFound || got.Body.String() != "hello" {
		t.Errorf("%d, then %d %s", moved.Code, got.Code, got.Body)
	}
	if content, ok := g.File("notes.txt"); !ok || string(content) != "hello" {
		t.Errorf("stored is %q", content)
	}
}

func TestABusyGraphSaysForHowLong(t *testing.T) {
	g := graph.New(tokens{"good": {Username: "ana@contoso.com"}})
	g.Busy(2, http.StatusServiceUnavailable, "7")
	for _, want := range []int{503, 503, 200} {
		w := call(g, http.MethodGet, "/v1.0/me", "Bearer good", "")
		if w.Code != want || (w.Header().Get("Retry-After") == "7") != (want == 503) {
			t.Errorf("%d with Retry-After %q, want %d", w.Code, w.Header().Get("Retry-After"), want)
		}
	}
	if calls := g.Calls(); calls.Busy != 2 || calls.OK != 1 {
		t.Errorf("counted were %+v", calls)
	}
}

// Package graph imitates Microsoft Graph: a few resources (a user, messages, files), for
// requests with a valid bearer token. To others it answers 401 as Graph does, including
// claims challenges. It counts its answers.
//
// Package entra serves it under /v1.0 of its own address, and so under
// https://graph.microsoft.com/v1.0 for its HTTP client.
package graph

import (
	"compress/gzip"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Token is what a good access token says.
type Token struct {
	Username, Name     string // of the signed-in user; empty in an application's own token
	ObjectID, TenantID string
	ClientID           string
	App                bool // an application's own token, from client credentials
	Scopes, Roles      []string
	Claims             map[string]any // the claims parameter it was asked for with
}

// Verifier judges access tokens, with one of the errors below for the bad ones.
type Verifier interface {
	Verify(token string) (Token, error)
}

// Why a token is refused.
var (
	ErrInvalid  = errors.New("the access token is none of this provider's")
	ErrExpired  = errors.New("the access token has expired")
	ErrRevoked  = errors.New("the access token was revoked")
	ErrAudience = errors.New("the access token is for another audience")
)

// Calls counts answers.
type Calls struct {
	OK           int `json:"ok"`           // 2xx
	Unauthorized int `json:"unauthorized"` // 401, all reasons

	Missing   int `json:"missing"`   // … because there was no bearer token
	Invalid   int `json:"invalid"`   // … it was not one of this provider's, or not for Graph
	Expired   int `json:"expired"`   // … it was too old
	Revoked   int `json:"revoked"`   // … it was revoked
	Challenge int `json:"challenge"` // … it lacked the demanded claims

	Busy int `json:"busy"` // as Busy ordered
}

// Server is the stand-in. Safe for concurrent use.
type Server struct {
	verifier Verifier
	mux      *http.ServeMux
	files    *http.ServeMux // of FilesHost

	mu       sync.Mutex
	calls    Calls
	demand   string         // as given to Demand
	needed   map[string]any // and parsed
	busy     []answer
	messages map[string][]map[string]any // by user name
	stored   map[string][]byte           // files, by name
	uploads  map[string]*upload          // sessions, by id
}

// answer is what Graph says while it has no time.
type answer struct {
	status     int
	retryAfter string
}

// New makes a Graph that accepts what the verifier does.
func New(v Verifier) *Server {
	g := &Server{
		verifier: v, mux: http.NewServeMux(), files: http.NewServeMux(),
		messages: map[string][]map[string]any{}, stored: map[string][]byte{}, uploads: map[string]*upload{},
	}
	g.fileRoutes()
	g.mux.HandleFunc("GET /v1.0/me", g.me)
	g.mux.HandleFunc("GET /v1.0/me/messages", g.listMessages)
	g.mux.HandleFunc("POST /v1.0/me/messages", g.createMessage)
	g.mux.HandleFunc("GET /v1.0/users/{id}", g.user)
	g.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "ResourceNotFound", "Resource not found for the segment '"+strings.TrimPrefix(r.URL.Path, "/v1.0/")+"'.")
	})
	return g
}

// Calls is a snapshot of the counters.
func (g *Server) Calls() Calls {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls
}

// ResetCalls sets the counters to zero.
func (g *Server) ResetCalls() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.calls = Calls{}
}

// Demand makes Graph refuse tokens that were not asked for with these claims, by a
// claims challenge that carries them; what a client adds, such as its xms_cc, is
// welcome. Empty claims end the demand. It is what continuous access evaluation does
// when a policy changes. A challenge looks like
//
//	{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}
//
// Source: https://learn.microsoft.com/entra/identity-platform/claims-challenge.
func (g *Server) Demand(claims string) error {
	var needed map[string]any
	if claims != "" {
		if err := json.Unmarshal([]byte(claims), &needed); err != nil {
			return fmt.Errorf("graph: demand: claims are not a JSON object: %w", err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.demand, g.needed = claims, needed
	return nil
}

// Busy has the next answers be of one status, such as 429 or 503, with a Retry-After
// header unless retryAfter is empty.
// Source: https://learn.microsoft.com/graph/throttling.
func (g *Server) Busy(answers, status int, retryAfter string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range answers {
		g.busy = append(g.busy, answer{status, retryAfter})
	}
}

// isBusy gives the next answer that Busy ordered.
func (g *Server) isBusy(w http.ResponseWriter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.busy) == 0 {
		return false
	}
	next := g.busy[0]
	g.busy = g.busy[1:]
	g.calls.Busy++
	if next.retryAfter != "" {
		w.Header().Set("Retry-After", next.retryAfter)
	}
	fail(w, next.status, "TooManyRequests", "Please retry after.")
	return true
}

// tokenKey is where ServeHTTP leaves the token for the resources.
type tokenKey struct{}

// ServeHTTP judges the bearer token, then lets the resource answer. At FilesHost there
// must be none.
func (g *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Host == FilesHost {
		if r.Header.Get("Authorization") != "" {
			fail(w, http.StatusUnauthorized, "unauthenticated", "The address is an authorization by itself.")
			return
		}
		g.files.ServeHTTP(w, r)
		return
	}
	// The body is left alone until the token is good: a client that sends one with a
	// stale token must be able to send it again.
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || bearer == "" {
		g.count(func(c *Calls) { c.Unauthorized++; c.Missing++ })
		// RFC 6750 section 3.1: no error code for who has not tried.
		challenge(w, "Access token is empty.")
		return
	}
	token, err := g.verifier.Verify(bearer)
	if err != nil {
		g.count(func(c *Calls) {
			c.Unauthorized++
			switch {
			case errors.Is(err, ErrExpired):
				c.Expired++
			case errors.Is(err, ErrRevoked):
				c.Revoked++
			default:
				c.Invalid++
			}
		})
		challenge(w, "Access token validation failure: "+err.Error()+".", "error", "invalid_token", "error_description", err.Error())
		return
	}
	if demand, ok := g.satisfied(token); !ok {
		g.count(func(c *Calls) { c.Unauthorized++; c.Challenge++ })
		challenge(w, "Continuous access evaluation resulted in claims challenge.",
			"error", "insufficient_claims", "claims", base64.StdEncoding.EncodeToString([]byte(demand)))
		return
	}
	if g.isBusy(w) {
		return
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, err := gzip.NewReader(r.Body)
		if err != nil {
			fail(w, http.StatusBadRequest, "BadRequest", err.Error())
			return
		}
		r.Body = body
	}
	g.mux.ServeHTTP(w, r.WithContext(withToken(r.Context(), token)))
}

func (g *Server) me(w http.ResponseWriter, r *http.Request) {
	t := tokenFrom(r.Context())
	if t.App {
		fail(w, http.StatusBadRequest, "BadRequest", "/me request is only valid with delegated authentication flow.")
		return
	}
	g.reply(w, http.StatusOK, map[string]any{
		"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users/$entity",
		"id":             t.ObjectID, "displayName": t.Name, "userPrincipalName": t.Username, "mail": t.Username,
	})
}

// user knows nobody by heart: it names who was asked for.
func (g *Server) user(w http.ResponseWriter, r *http.Request) {
	g.reply(w, http.StatusOK, map[string]any{
		"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users/$entity",
		"id":             r.PathValue("id"), "userPrincipalName": r.PathValue("id"),
	})
}

func (g *Server) reply(w http.ResponseWriter, status int, body any) {
	g.count(func(c *Calls) { c.OK++ })
	writeJSON(w, status, body)
}

func (g *Server) count(edit func(*Calls)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	edit(&g.calls)
}

func (g *Server) satisfied(t Token) (demand string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.demand, g.needed == nil || contains(t.Claims, g.needed)
}

// contains says whether have is need with perhaps more in it.
func contains(have, need map[string]any) bool {
	for name, want := range need {
		got, present := have[name]
		if !present {
			return false
		}
		if inner, ok := want.(map[string]any); ok {
			gotInner, ok := got.(map[string]any)
			if !ok || !contains(gotInner, inner) {
				return false
			}
			continue
		}
		// Encoding compares lists as well as plain values.
		w, errWant := json.Marshal(want)
		g, errGot := json.Marshal(got)
		if errWant != nil || errGot != nil || string(w) != string(g) {
			return false
		}
	}
	return true
}

// challenge answers 401 with the WWW-Authenticate of RFC 6750 section 3 and Graph's own
// parameters in front.
func challenge(w http.ResponseWriter, message string, params ...string) {
	var h strings.Builder
	h.WriteString(`Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000"`)
	for i := 0; i+1 < len(params); i += 2 {
		fmt.Fprintf(&h, `, %s="%s"`, params[i], params[i+1])
	}
	w.Header().Set("WWW-Authenticate", h.String())
	fail(w, http.StatusUnauthorized, "InvalidAuthenticationToken", message)
}

// fail is an error in Graph's form.
// Source: https://learn.microsoft.com/graph/errors#error-resource-type.
func fail(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, map[string]any{"error": map[string]any{
		"code": code, "message": message,
		"innerError": map[string]string{"date": time.Now().UTC().Format("2006-01-02T15:04:05"), "request-id": requestID()},
	}})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	// A reader that is gone can't be told.
	_ = json.NewEncoder(w).Encode(body)
}

func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

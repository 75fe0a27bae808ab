package main

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log"
	"net/http"

	"github.com/alexedwards/scs/v2"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
)

// The keys of what a session holds.
const (
	browserKey = "browser"         // names the session, and outlives the renewal of its cookie
	userKey    = "home account ID" // of the user who has signed in
	nameKey    = "user name"
)

// web is the application's pages. A session belongs to one browser; a flow, which is a
// sign-in under way, belongs to one session.
type web struct {
	app      *account.App
	sessions *scs.SessionManager
	flows    flows
}

// handler serves the pages.
func handler(s *web) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /sign-in", s.signIn)
	mux.HandleFunc("GET /callback", s.callback)
	mux.HandleFunc("GET /me", s.me)
	mux.HandleFunc("POST /sign-out", s.signOut)
	mux.Handle("GET /style.css", http.FileServerFS(style))
	// A page of another site must not sign anybody out.
	return headers(http.NewCrossOriginProtection().Handler(s.sessions.LoadAndSave(mux)))
}

// headers keeps pages, which are one user's, out of caches and frames.
func headers(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		set := w.Header().Set
		set("Cache-Control", "no-store")
		set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		set("Referrer-Policy", "no-referrer") // the callback's address has a code in it
		set("X-Content-Type-Options", "nosniff")
		h.ServeHTTP(w, r)
	})
}

// home shows who is signed in.
func (s *web) home(w http.ResponseWriter, r *http.Request) {
	s.browser(r)
	user, ok := s.user(r)
	if !ok {
		show(w, http.StatusOK, "welcome", nil)
		return
	}
	token, err := user.TokenSource().Token(r.Context()) // no I/O while the token is valid
	if err != nil {
		s.fail(w, r, err)
		return
	}
	show(w, http.StatusOK, "home", map[string]any{"Name": s.name(r), "Scopes": token.Scopes, "Until": token.ExpiresOn})
}

// signIn sends the browser to the sign-in page.
func (s *web) signIn(w http.ResponseWriter, r *http.Request) {
	address, flow, err := s.app.AuthURL(r.Context(), account.AuthOptions{})
	if err == nil {
		err = s.keep(r, flow)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, address, http.StatusSeeOther)
}

// callback is where the browser comes back to.
func (s *web) callback(w http.ResponseWriter, r *http.Request) {
	flow, err := s.take(r, r.FormValue("state"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	user, err := s.app.SignIn(r.Context(), flow, r.URL.RawQuery)
	if err != nil && !errors.Is(err, core.ErrRefreshedNotSaved) { // with that one, the user is signed in
		s.fail(w, r, err)
		return
	}
	// A session that somebody else may have planted is not the one that the user has now.
	if err := s.sessions.RenewToken(r.Context()); err != nil {
		s.fail(w, r, err)
		return
	}
	s.sessions.Put(r.Context(), userKey, user.User().HomeAccountID)
	s.sessions.Put(r.Context(), nameKey, user.User().Username)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// me calls Microsoft Graph for the user.
func (s *web) me(w http.ResponseWriter, r *http.Request) {
	user, ok := s.user(r)
	if !ok {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "https://graph.microsoft.com/v1.0/me", nil)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	answer, err := user.HTTPClient().Do(request)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized: // and a new token could not be had either
		s.fail(w, r, core.ErrReauthRequired)
		return
	default:
		s.fail(w, r, fmt.Errorf("the answer of Microsoft Graph is %s", answer.Status))
		return
	}
	var me struct {
		DisplayName       string `json:"displayName"`
		UserPrincipalName string `json:"userPrincipalName"`
		ID                string `json:"id"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&me); err != nil {
		s.fail(w, r, err)
		return
	}
	show(w, http.StatusOK, "me", me)
}

// signOut removes the user's tokens, and ends the session.
func (s *web) signOut(w http.ResponseWriter, r *http.Request) {
	if user, ok := s.user(r); ok {
		if err := user.SignOut(r.Context()); err != nil && !errors.Is(err, core.ErrNotFound) {
			s.fail(w, r, err)
			return
		}
	}
	if err := s.sessions.Destroy(r.Context()); err != nil {
		s.fail(w, r, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// user returns the account that the session is signed in as.
func (s *web) user(r *http.Request) (*account.Account, bool) {
	id := s.sessions.GetString(r.Context(), userKey)
	return s.app.Account(id), id != ""
}

func (s *web) name(r *http.Request) string { return s.sessions.GetString(r.Context(), nameKey) }

// fail shows what went wrong: to the user what to do, to the operator why.
func (s *web) fail(w http.ResponseWriter, r *http.Request, err error) {
	log.Printf("%s %s: %v", r.Method, r.URL.Path, err) // no error shows a code or a token
	var refusal *msal.Error
	switch {
	case errors.Is(err, errNoFlow), errors.Is(err, account.ErrFlowExpired), errors.Is(err, account.ErrFlowUsed):
		show(w, http.StatusBadRequest, "failed", "This sign-in is over, or was not begun in this browser.")
	case errors.As(err, &refusal):
		show(w, http.StatusForbidden, "failed", "Microsoft has refused: "+cmp.Or(refusal.Remedy(), refusal.Code)+".")
	case errors.Is(err, core.ErrReauthRequired):
		show(w, http.StatusUnauthorized, "failed", "Your sign-in is no longer good.")
	default:
		show(w, http.StatusBadGateway, "failed", "That did not work.")
	}
}

//go:embed templates
var pages embed.FS

//go:embed style.css
var style embed.FS

var templates = template.Must(template.ParseFS(pages, "templates/*.html"))

// show writes a page.
func show(w http.ResponseWriter, status int, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := templates.ExecuteTemplate(w, page+".html", data); err != nil {
		log.Print(err) // the browser is gone
	}
}

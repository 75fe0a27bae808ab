package entra

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// code is an authorization code and what it stands for.
type code struct {
	client      string
	user        *User
	redirectURI string
	scopes      []string
	nonce       string
	claims      string
	challenge   string
	method      string // "", "plain" or "S256"
	expires     time.Time
	redeemed    bool
	family      *family // what it was redeemed for
}

// serveAuthorize is the authorization endpoint (RFC 6749 section 4.1.1). There is nobody
// to type a password: login_hint, or else Options.DefaultUser, signs in at once, and
// without either a page asks who it shall be.
func (s *Server) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	s.authorize(providerOf(r), r.URL)(w)
}

// show is an answer for a browser, decided under the lock and written without it.
type show func(http.ResponseWriter)

func (s *Server) authorize(at provider, asked *url.URL) show {
	tenant := at.tenant
	q := asked.Query()
	s.mu.Lock()
	defer s.mu.Unlock()
	client := s.clients[q.Get("client_id")]
	redirect := q.Get("redirect_uri")
	// RFC 6749 section 4.1.2.1: with a bad client or redirect_uri nothing is sent
	// anywhere; the person at the browser is told.
	switch {
	case !s.knowsTenant(tenant):
		return errorPage(unknownTenant(tenant))
	case client == nil:
		return errorPage(unknownClient(q.Get("client_id"), tenant))
	case redirect == "":
		return errorPage(missing("redirect_uri"))
	case !client.allowsRedirect(redirect):
		return errorPage(refuse("invalid_request", 50011, "The redirect URI '%s' specified in the request does not match the redirect URIs configured for the application '%s'.", redirect, client.ID))
	}
	back := reply{uri: redirect, mode: q.Get("response_mode"), state: q.Get("state")}
	scopes := strings.Fields(q.Get("scope"))
	challenge, method := q.Get("code_challenge"), q.Get("code_challenge_method")
	if challenge != "" && method == "" {
		method = "plain" // RFC 7636 section 4.3
	}
	_, badClaims := parseClaims(q.Get("claims"))
	badScopes := oneResource(scopes)
	switch {
	case q.Get("response_type") != "code":
		return back.refuse(refuse("unsupported_response_type", 700054, "response_type '%s' is not enabled for the application.", q.Get("response_type")))
	case !slices.Contains([]string{"", "query", "fragment", "form_post"}, back.mode):
		back.mode = ""
		return back.refuse(refuse("invalid_request", 901002, "The 'response_mode' request parameter is not supported."))
	case len(scopes) == 0:
		return back.refuse(missing("scope"))
	case badScopes != nil:
		return back.refuse(badScopes)
	case badClaims != nil:
		return back.refuse(badClaims)
	case challenge != "" && method != "plain" && method != "S256":
		return back.refuse(refuse("invalid_request", 50147, "Invalid size or method of code challenge parameter."))
	case q.Get("error") != "":
		// The page's way of declining; no client sends it.
		return back.refuse(refuse("access_denied", 65004, "User declined to consent to access the app."))
	}

	username := q.Get("login_hint")
	if username == "" {
		username = s.opts.DefaultUser
	}
	if username == "" {
		if q.Get("prompt") == "none" {
			return back.refuse(refuse("login_required", 50058, "A silent sign-in request was sent but no user is signed in."))
		}
		return s.signInPage(asked)
	}
	user, refused := s.userIn(username, tenant)
	if refused != nil {
		refused.code = "access_denied" // what RFC 6749 section 4.1.2.1 has for it
		return back.refuse(refused)
	}
	if client.AdminOnly {
		return back.refuse(refuse("access_denied", 90094, "The application needs permission to access resources in your organization that only an admin can grant. Please ask an admin to grant permission to this app before you can use it."))
	}
	value := "1." + random(60)
	s.codes[value] = &code{
		client: client.ID, user: user, redirectURI: redirect, scopes: scopes, nonce: q.Get("nonce"),
		claims: q.Get("claims"), challenge: challenge, method: method,
		expires: s.opts.Clock().Add(s.opts.CodeLifetime),
	}
	params := url.Values{"code": {value}}
	if q.Get("client_info") == "1" { // MSAL Python asks here too
		params.Set("client_info", at.clientInfo(user))
	}
	return back.send(params)
}

// redeemCode is RFC 6749 section 4.1.3 with RFC 7636 section 4.6. s.mu is held.
func (s *Server) redeemCode(c *call, client *Client) (*answer, *refusal) {
	for _, parameter := range []string{"code", "redirect_uri"} {
		if c.form.Get(parameter) == "" {
			return nil, missing(parameter)
		}
	}
	k := s.codes[c.form.Get("code")]
	if k == nil {
		return nil, refuse("invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.")
	}
	c.user = k.user
	switch {
	case k.client != client.ID:
		return nil, refuse("invalid_grant", 70000, "Provided grant is invalid: the authorization code was issued to another client.")
	case k.redeemed:
		// "If an authorization code is used more than once, the authorization server
		// MUST deny the request and SHOULD revoke […] all tokens previously issued
		// based on that authorization code": RFC 6749 section 4.1.2.
		if s.opts.Strict && k.family != nil && !k.family.revoked {
			k.family.revoked = true
			s.counts.familiesRevoked++
		}
		return nil, refuse("invalid_grant", 54005, "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.")
	case s.opts.Clock().After(k.expires):
		return nil, refuse("invalid_grant", 70008, "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.")
	case k.redirectURI != c.form.Get("redirect_uri"):
		return nil, refuse("invalid_grant", 500112, "The reply address '%s' does not match the reply address '%s' provided when requesting Authorization code.", c.form.Get("redirect_uri"), k.redirectURI)
	}
	if refused := k.verify(c.form.Get("code_verifier")); refused != nil {
		return nil, refused
	}
	if refused := s.admits(c.Tenant, k.user); refused != nil {
		return nil, refused
	}
	scopes := c.Scopes
	if len(scopes) == 0 {
		scopes = k.scopes
	}
	if c.Claims == "" {
		c.Claims = k.claims
	}
	a, refused := s.issueForUser(c, client, k.user, scopes, k.nonce)
	if refused != nil {
		return nil, refused
	}
	k.redeemed = true
	if slices.Contains(scopes, "offline_access") {
		k.family, a.RefreshToken = s.startFamily(c, client, k.user, scopes)
	}
	return a, nil
}

// verify is the check of RFC 7636 section 4.6. A verifier for a code that was asked
// without a challenge is refused too: RFC 9700 section 4.8.2, PKCE downgrade. MSAL Go
// sends an empty one when it has none.
func (k *code) verify(verifier string) *refusal {
	want := verifier
	if k.method == "S256" {
		sum := sha256.Sum256([]byte(verifier))
		want = b64(sum[:])
	}
	switch {
	case k.challenge == "" && verifier == "":
		return nil
	case k.challenge != "" && verifier == "":
		return refuse("invalid_grant", 50148, "The code_verifier is missing although the authorization request had a code_challenge.")
	case subtle.ConstantTimeCompare([]byte(want), []byte(k.challenge)) != 1:
		return refuse("invalid_grant", 501481, "The Code_Verifier does not match the code_challenge supplied in the authorization request.")
	}
	return nil
}

// serveLogout ends the browser's session, of which there is none.
func (s *Server) serveLogout(w http.ResponseWriter, r *http.Request) {
	if to := r.URL.Query().Get("post_logout_redirect_uri"); isLoopback(to) {
		http.Redirect(w, r, to, http.StatusFound)
		return
	}
	page(http.StatusOK, signedOutPage, nil)(w)
}

// reply is how the authorization endpoint answers the client through the browser.
type reply struct{ uri, mode, state string }

func (b reply) refuse(r *refusal) show {
	return b.send(url.Values{
		"error":             {r.code},
		"error_description": {fmt.Sprintf("AADSTS%d: %s", r.aadsts, r.text)},
	})
}

func (b reply) send(params url.Values) show {
	if b.state != "" {
		params.Set("state", b.state)
	}
	if b.mode == "form_post" { // OAuth 2.0 Form Post Response Mode, section 2
		return page(http.StatusOK, formPostPage, struct {
			URI    string
			Params url.Values
		}{b.uri, params})
	}
	to, err := url.Parse(b.uri)
	if err != nil {
		// Only a registered URI that is no URI gets here.
		return errorPage(refuse("invalid_request", 50011, "The redirect URI is malformed: %v", err))
	}
	if b.mode == "fragment" {
		to.Fragment = ""
		return location(to.String() + "#" + params.Encode())
	}
	q := to.Query() // RFC 6749 section 3.1.2: a query of its own is kept
	for name, values := range params {
		q[name] = values
	}
	to.RawQuery = q.Encode()
	return location(to.String())
}

// location redirects without http.Redirect's body, which would repeat the code.
func location(to string) show {
	return func(w http.ResponseWriter) {
		w.Header().Set("Location", to)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusFound)
	}
}

// signInPage lists the users: each is a link to the same request with a login_hint. s.mu is held.
func (s *Server) signInPage(asked *url.URL) show {
	type choice struct{ Username, Name, URL string }
	link := func(name, value string) string {
		q := asked.Query()
		q.Set(name, value)
		return asked.Path + "?" + q.Encode()
	}
	var choices []choice
	for _, key := range s.order {
		u := s.users[key]
		choices = append(choices, choice{u.Username, u.Name, link("login_hint", u.Username)})
	}
	return page(http.StatusOK, choicePage, struct {
		Choices []choice
		Decline string
	}{choices, link("error", "access_denied")})
}

func errorPage(r *refusal) show {
	return page(r.status(), refusedPage, struct {
		Code int
		Text string
	}{r.aadsts, r.text})
}

func page(status int, t *template.Template, data any) show {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		// A reader that is gone can't be told.
		_ = t.Execute(w, data)
	}
}

var (
	choicePage = template.Must(template.New("choice").Parse(`<!doctype html><title>Sign in (imitation)</title>
<h1>Who are you?</h1><p>This is no Microsoft page: it is graphtoken's imitation for tests. No password is asked.</p>
<ul>{{range .Choices}}<li><a href="{{.URL}}">{{.Name}} ({{.Username}})</a></li>{{end}}</ul>
<p><a href="{{.Decline}}">Decline</a></p>`))
	formPostPage = template.Must(template.New("form_post").Parse(`<!doctype html><title>Working…</title>
<body onload="document.forms[0].submit()"><form method="post" action="{{.URI}}">
{{range $name, $values := .Params}}{{range $values}}<input type="hidden" name="{{$name}}" value="{{.}}">
{{end}}{{end}}<noscript><button>Continue</button></noscript></form>`))
	refusedPage = template.Must(template.New("refused").Parse(`<!doctype html><title>Sign-in failed</title>
<h1>Sorry, but we’re having trouble signing you in.</h1><p>AADSTS{{.Code}}: {{.Text}}</p>`))
	signedOutPage = template.Must(template.New("signed out").Parse(`<!doctype html><title>Signed out</title>
<h1>You signed out of your account.</h1>`))
)

package msal_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// onTokens changes the answers to requests for tokens, after the provider has
// spent what they were asked with.
func (w *wire) onTokens(edit func(*http.Response) error) {
	w.onAnswer(func(req *http.Request, resp *http.Response) error {
		if req.Method != http.MethodPost {
			return nil
		}
		return edit(resp)
	})
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(raw)
}

// The refresh token is spent when the answer comes: what MSAL Go or MSAL Python
// would take must not be thrown away.
func TestAnAnswerThatMSALAcceptsIsAccepted(t *testing.T) {
	for what, edit := range map[string]func(*testing.T, *http.Response) error{
		"status 201": func(_ *testing.T, resp *http.Response) error {
			resp.StatusCode = http.StatusCreated
			return nil
		},
		"status 203, from a proxy": func(_ *testing.T, resp *http.Response) error {
			resp.StatusCode = http.StatusNonAuthoritativeInfo
			return nil
		},
		"bytes behind the JSON": func(t *testing.T, resp *http.Response) error {
			body(resp, text(t, resp)+"\r\n<!-- served by gateway 7 -->")
			return nil
		},
		"a byte order mark in front of it": func(t *testing.T, resp *http.Response) error {
			body(resp, "\ufeff"+text(t, resp))
			return nil
		},
		"a connection that breaks behind it": func(t *testing.T, resp *http.Response) error {
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(text(t, resp)), broken{}))
			return nil
		},
		"a padding that never ends behind it": func(t *testing.T, resp *http.Response) error {
			resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(text(t, resp)), new(endless)))
			return nil
		},
		"scopes as an array": func(_ *testing.T, resp *http.Response) error {
			return editJSON(resp, func(m map[string]any) { m["scope"] = []string{"User.Read", "Mail.Read"} })
		},
		"members of other types": func(_ *testing.T, resp *http.Response) error {
			return editJSON(resp, func(m map[string]any) {
				m["token_type"], m["foci"], m["scope"], m["ext_expires_in"], m["refresh_in"] = 7, true, nil, []int{1}, "soon"
			})
		},
		"an error that is empty": func(_ *testing.T, resp *http.Response) error {
			return editJSON(resp, func(m map[string]any) { m["error"], m["error_description"] = "", nil })
		},
		"an id token with members of other types": func(_ *testing.T, resp *http.Response) error {
			claims := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"s","oid":7,"tid":[],"email":{},"upn":true,"preferred_username":{},"exp":"x"}`))
			return editJSON(resp, func(m map[string]any) { m["id_token"] = "e30." + claims + ".x" })
		},
		"a client_info that can't be read": func(_ *testing.T, resp *http.Response) error {
			return editJSON(resp, func(m map[string]any) { m["client_info"] = "torn" })
		},
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			c := public(t, w, common)
			signIn(t, idp, c, cache, ana)
			before, spent := accessToken(t, cache, query(ana)), refreshToken(t, cache, query(ana))
			w.onTokens(func(resp *http.Response) error { return edit(t, resp) })
			if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
				t.Fatal(err)
			}
			if accessToken(t, cache, query(ana)).Secret == before.Secret || refreshToken(t, cache, query(ana)) == spent {
				t.Error("the new tokens are lost")
			}
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("connection reset by peer") }

// endless is a body without an end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

func TestAnAnswerIsReadUpToALimit(t *testing.T) {
	for what, row := range map[string]struct {
		method string
		status int
	}{
		"tokens":    {http.MethodPost, 200},
		"an error":  {http.MethodPost, 400},
		"discovery": {http.MethodGet, 200},
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			signIn(t, idp, public(t, w, common), cache, ana)
			bomb := new(endless)
			w.onAnswer(func(req *http.Request, resp *http.Response) error {
				if req.Method == row.method {
					resp.StatusCode = row.status
					resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"access_token":"at-canary","padding":"`), bomb))
				}
				return nil
			})
			err := public(t, w, common).Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
			if err == nil || !strings.Contains(err.Error(), "longer than 1048576 bytes") {
				t.Errorf("the error is %v", err)
			}
			if bomb.read > 2<<20 {
				t.Errorf("%d bytes were read", bomb.read)
			}
			mustNotShow(t, err, "at-canary")
			mustConcern(t, err, core.FailureOfProvider)
		})
	}
}

func TestTheLifetimeIsFoundWhereverTheAnswerTellsIt(t *testing.T) {
	jwt := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "."
	}
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	for what, row := range map[string]struct {
		answer map[string]any
		want   time.Duration
	}{
		"a number":                                {map[string]any{"expires_in": 1800}, 30 * time.Minute},
		"a fraction":                              {map[string]any{"expires_in": 1800.9}, 30 * time.Minute},
		"a text":                                  {map[string]any{"expires_in": "1800"}, 30 * time.Minute},
		"a text with blanks":                      {map[string]any{"expires_in": " 1800 "}, 30 * time.Minute},
		"expires_on as a number":                  {map[string]any{"expires_on": in(30 * time.Minute)}, 30 * time.Minute},
		"expires_on as a text":                    {map[string]any{"expires_on": fmt.Sprint(in(30 * time.Minute))}, 30 * time.Minute},
		"expires_on as a date":                    {map[string]any{"expires_on": time.Now().Add(30 * time.Minute).UTC().Format("01/02/2006 15:04:05")}, 30 * time.Minute},
		"expires_on beside an expires_in of 0":    {map[string]any{"expires_in": 0, "expires_on": in(30 * time.Minute)}, 30 * time.Minute},
		"expires_on beside an expires_in of null": {map[string]any{"expires_in": nil, "expires_on": in(30 * time.Minute)}, 30 * time.Minute},
		"the token's own exp":                     {map[string]any{"access_token": jwt(fmt.Sprintf(`{"exp":%d}`, in(30*time.Minute)))}, 30 * time.Minute},
		"nothing":                                 {map[string]any{}, time.Hour},
		"null":                                    {map[string]any{"expires_in": nil}, time.Hour},
		"a word":                                  {map[string]any{"expires_in": "soon"}, time.Hour},
		"less than nothing":                       {map[string]any{"expires_in": -5}, time.Hour},
		"317 years":                               {map[string]any{"expires_in": 9999999999}, 365 * 24 * time.Hour},
		"the token's own exp, expires_on passed":  {map[string]any{"expires_on": 5, "access_token": jwt(fmt.Sprintf(`{"exp":%d}`, in(30*time.Minute)))}, 30 * time.Minute},
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			c := public(t, w, common)
			signIn(t, idp, c, cache, ana)
			w.onTokens(func(resp *http.Response) error {
				return editJSON(resp, func(m map[string]any) {
					delete(m, "expires_in")
					delete(m, "ext_expires_in")
					m["access_token"] = "opaque" // the imitation's own tells its exp
					for name, value := range row.answer {
						m[name] = value
					}
				})
			})
			if err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}); err != nil {
				t.Fatal(err)
			}
			token := accessToken(t, cache, query(ana))
			if got := token.ExpiresOn.Sub(token.CachedAt); got < row.want-2*time.Minute || got > row.want {
				t.Errorf("the token lives %v, want %v", got, row.want)
			}
		})
	}
}

// MSAL Go and MSAL Python both look for the error first.
func TestARefusalIsOneWhateverItsStatus(t *testing.T) {
	for what, answer := range map[string]string{
		"alone":             `{"error":"invalid_grant","error_description":"AADSTS70008: expired SECRET \u001b[31mred"}`,
		"beside expires_in": `{"error":"invalid_grant","error_description":"AADSTS70008: expired SECRET \u001b[31mred","expires_in":3600}`,
		"beside tokens":     `{"error":"invalid_grant","error_description":"AADSTS70008: expired SECRET at-canary \u001b[31mred","access_token":"at-canary","expires_in":3600}`,
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			c := public(t, w, common)
			signIn(t, idp, c, cache, ana)
			secret := refreshToken(t, cache, query(ana))
			w.onTokens(func(resp *http.Response) error {
				body(resp, strings.ReplaceAll(answer, "SECRET", secret))
				return nil
			})
			err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
			var refusal *msal.Error
			if !errors.Is(err, core.ErrReauthRequired) || !errors.As(err, &refusal) || refusal.Status != 200 || !strings.Contains(refusal.Description, "AADSTS70008: expired") {
				t.Errorf("the error is %v", err)
			}
			mustNotShow(t, err, secret, "at-canary", "\x1b")
			mustConcern(t, err, core.FailureOfUser)
		})
	}
}

// A search for the letters of a secret misses one that the answer spells otherwise.
func TestASecretIsStruckOutHoweverItIsSpelt(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	secret := refreshToken(t, cache, query(ana))
	for what, spelt := range map[string]string{
		"escaped":                      fmt.Sprintf(`\u%04x%s`, secret[0], secret[1:]),
		"with an invisible character":  secret[:5] + "\u200b" + secret[5:],
		"with a control character":     secret[:5] + `\u0007` + secret[5:],
		"between other words, encoded": "rt=" + strings.ReplaceAll(secret, "+", "%2B") + "&x",
	} {
		t.Run(what, func(t *testing.T) {
			w.onTokens(func(resp *http.Response) error {
				resp.StatusCode = 400
				resp.Header.Set("X-Quoted", secret)
				body(resp, `{"error":"invalid_request","error_description":"you sent `+spelt+`"}`)
				return nil
			})
			mustNotShow(t, c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)}), secret)
		})
	}
}

// RFC 6749 section 4.4.3 has no refresh token here; some providers send one, and more.
func TestAnApplicationsTokenStaysItsOwn(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := private(t, w, "https://login.microsoftonline.com/"+entra.Tenant)
	w.onTokens(func(resp *http.Response) error {
		return editJSON(resp, func(m map[string]any) {
			m["client_info"] = base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"who","utid":"ever"}`))
			m["id_token"] = "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"whoever","aud":"x"}`)) + "."
			m["refresh_token"] = "rt"
		})
	})
	q := tokencache.Query{App: true, Scopes: []string{graphApp}}
	if err := c.Refresh(t.Context(), cache, core.Refresh{Query: q}); err != nil {
		t.Fatal(err)
	}
	accessToken(t, cache, q)
	if n := len(cache.Accounts()); n != 0 {
		t.Errorf("%d users came into being", n)
	}
}

func TestARefreshForAnotherAccountIsRefused(t *testing.T) {
	idToken := func(claims string) string {
		return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + "."
	}
	for what, row := range map[string]struct {
		before, claims string // of the id tokens; "" for none
		ok             bool
	}{
		"an answer that names nobody":                          {"", "", true},
		"the object ID that the record has":                    {"", `{"oid":"UID","tid":"utid","sub":"pairwise"}`, true},
		"the subject that the record has":                      {"", `{"sub":"uid"}`, true},
		"the subject of the id token before":                   {`{"sub":"pairwise"}`, `{"sub":"pairwise"}`, true},
		"an id token that can't be read":                       {"", `no JSON`, true},
		"another object ID":                                    {"", `{"oid":"stranger","tid":"utid","sub":"pairwise"}`, false},
		"another object ID, in another tenant":                 {"", `{"oid":"stranger","tid":"elsewhere","sub":"pairwise"}`, false},
		"another subject":                                      {"", `{"sub":"stranger"}`, false},
		"another subject than that of the id token before":     {`{"sub":"pairwise"}`, `{"sub":"stranger"}`, false},
		"another object ID where the id token before has none": {`{"name":"Ana"}`, `{"oid":"stranger"}`, false},
		"the user's name, and nothing else":                    {`{"sub":"pairwise","preferred_username":"ana"}`, `{"upn":"Ana"}`, true},
		"another name, and nothing else":                       {`{"sub":"pairwise","preferred_username":"ana"}`, `{"preferred_username":"bo"}`, false},
		"no name, and nothing else":                            {`{"sub":"pairwise","preferred_username":"ana"}`, `{"aud":"app"}`, true},
	} {
		t.Run(what, func(t *testing.T) {
			cache := tokencache.New()
			stored := tokencache.TokenResponse{
				AccessToken: "stale", RefreshToken: "rt", Scope: "User.Read", ExpiresIn: 3600, ClientID: "app", Environment: "idp.example.com", Tenant: "t",
				ClientInfo: base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"uid","utid":"utid"}`)),
			}
			if row.before != "" {
				stored.IDToken = idToken(row.before)
			}
			if err := cache.Put(stored); err != nil {
				t.Fatal(err)
			}
			answer := map[string]any{"access_token": "fresh", "refresh_token": "next", "token_type": "Bearer", "expires_in": 3600}
			if row.claims != "" {
				answer["id_token"] = idToken(row.claims)
			}
			c := atExample(t, func(*http.Request) (int, any) { return 200, answer })
			before := document(t, cache)
			err := c.Refresh(t.Context(), cache, core.Refresh{Query: tokencache.Query{HomeAccountID: "uid.utid", Scopes: []string{"User.Read"}}})
			switch {
			case row.ok && err != nil:
				t.Error(err)
			case !row.ok && err == nil:
				t.Error("the stranger's answer was taken")
			case !row.ok:
				mustConcern(t, err, core.FailureOfUser)
				if document(t, cache) != before {
					t.Error("the cache changed")
				}
			}
		})
	}
}

// atExample returns a public client of a provider at idp.example.com, whose token
// endpoint answers with a status and JSON.
func atExample(t *testing.T, answer func(*http.Request) (int, any)) *msal.Client {
	t.Helper()
	provider := roundTrip(func(req *http.Request) (*http.Response, error) {
		status, v := 200, any(map[string]string{
			"token_endpoint": "https://idp.example.com/t/token", "authorization_endpoint": "https://idp.example.com/t/authorize", "issuer": "https://idp.example.com/t",
		})
		if req.Method == http.MethodPost {
			status, v = answer(req)
		}
		raw, err := json.Marshal(v)
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(raw))), Request: req}, err
	})
	c, err := msal.NewPublic("app", msal.WithAuthority("https://idp.example.com/t"),
		msal.WithHTTPClient(&http.Client{Transport: provider}), msal.WithInstanceDiscovery(false))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// mustConcern fails if err has another scope.
func mustConcern(t *testing.T, err error, want core.FailureScope) {
	t.Helper()
	var scoped interface{ FailureScope() core.FailureScope }
	if !errors.As(err, &scoped) || scoped.FailureScope() != want {
		t.Errorf("%v: the failure isn't the %s's", err, want)
	}
}

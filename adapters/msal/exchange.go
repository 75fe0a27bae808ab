package msal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// exchange is what MSAL is surrounded with in one call: the cache it reads and
// the HTTP client it sends through. MSAL uses it from one goroutine.
type exchange struct {
	http      *http.Client
	discovery *discovery
	cache     []byte // what MSAL reads as its cache

	discovered map[string][]byte // documents that were not known before
	spent      []string          // secrets that were sent
	answer     *answer           // the provider's tokens; nil until they come
}

// Replace implements [cache.ExportReplace].
func (x *exchange) Replace(_ context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	return c.Unmarshal(x.cache)
}

// Export implements [cache.ExportReplace]: the answer is all that MSAL could
// have to say, and it is known already.
func (x *exchange) Export(context.Context, cache.Marshaler, cache.ExportHints) error { return nil }

// Do sends a request. GET requests are discovery, and the one POST asks for
// tokens.
func (x *exchange) Do(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet {
		return x.discover(req)
	}
	x.noteSecrets(req)
	// A token's life counts from here. What is counted from the arrival of the
	// answer is too late by as long as the answer, or this process, took.
	sent := time.Now()
	resp, body, err := x.send(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		x.answer = parseAnswer(body, sent)
	}
	return resp, nil
}

// CloseIdleConnections implements MSAL's interface; the connections are not
// this exchange's to close.
func (x *exchange) CloseIdleConnections() {}

func (x *exchange) discover(req *http.Request) (*http.Response, error) {
	address := req.URL.String()
	if body, known := x.discovery.get(address); known {
		return &http.Response{
			Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {"application/json"}}, ContentLength: int64(len(body)),
			Body: io.NopCloser(bytes.NewReader(body)), Request: req,
		}, nil
	}
	resp, body, err := x.send(req)
	if err == nil && resp.StatusCode == http.StatusOK {
		if x.discovered == nil {
			x.discovered = make(map[string][]byte)
		}
		x.discovered[address] = body
	}
	return resp, err
}

// send returns the response with its body read, and still to be read.
func (x *exchange) send(req *http.Request) (*http.Response, []byte, error) {
	resp, err := x.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close() // it is read, or the error says why not
	if err != nil {
		return nil, nil, &url.Error{Op: "Read", URL: req.URL.String(), Err: err} // as a failure to send would be
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, body, nil
}

// keepDiscovered is called once the documents have led to tokens: a captive
// portal's page, kept, would fail every call after it.
func (x *exchange) keepDiscovered() { x.discovery.keep(x.discovered) }

// secretParameters are those of a token request that must not come back in the
// text of an error, even where a provider quotes them.
var secretParameters = []string{"refresh_token", "code", "code_verifier", "client_secret", "client_assertion", "assertion"}

func (x *exchange) noteSecrets(req *http.Request) {
	if req.GetBody == nil {
		return
	}
	body, err := req.GetBody()
	if err != nil {
		return
	}
	raw, err := io.ReadAll(body)
	if err != nil {
		return
	}
	form, err := url.ParseQuery(string(raw))
	if err != nil {
		return
	}
	for _, name := range secretParameters {
		if secret := form.Get(name); secret != "" {
			x.spent = append(x.spent, secret, url.QueryEscape(secret))
		}
	}
	// The longest first: one may be a part of another.
	slices.SortFunc(x.spent, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

func (x *exchange) redact(text string) string {
	for _, secret := range x.spent {
		text = strings.ReplaceAll(text, secret, "[redacted]")
	}
	return text
}

// discovery remembers the provider's discovery documents, as an MSAL client
// does for as long as it lives.
type discovery struct {
	mu        sync.RWMutex
	documents map[string][]byte // by URL
}

func newDiscovery() *discovery { return &discovery{documents: make(map[string][]byte)} }

func (d *discovery) get(url string) ([]byte, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	body, ok := d.documents[url]
	return body, ok
}

// maxDocuments bounds what a service for many tenants remembers: there are two
// documents for each.
const maxDocuments = 1000

func (d *discovery) keep(documents map[string][]byte) {
	if len(documents) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.documents)+len(documents) > maxDocuments {
		clear(d.documents)
	}
	maps.Copy(d.documents, documents)
}

// answer is a token response (RFC 6749 section 5.1, OpenID Connect Core
// section 3.1.3.3) with Microsoft's additions.
type answer struct {
	AccessToken  string  `json:"access_token"`
	RefreshToken string  `json:"refresh_token"`
	IDToken      string  `json:"id_token"`
	ClientInfo   string  `json:"client_info"`
	Scope        string  `json:"scope"`
	TokenType    string  `json:"token_type"`
	FamilyID     string  `json:"foci"`
	ExpiresIn    seconds `json:"expires_in"`
	ExtExpiresIn seconds `json:"ext_expires_in"`
	RefreshIn    seconds `json:"refresh_in"`

	sent time.Time
}

// parseAnswer returns nil for what holds no access token. A member of a type
// that it should not have is passed over.
func parseAnswer(body []byte, sent time.Time) *answer {
	a := &answer{sent: sent}
	err := json.Unmarshal(body, a)
	var mistyped *json.UnmarshalTypeError
	if err != nil && !errors.As(err, &mistyped) || a.AccessToken == "" {
		return nil
	}
	return a
}

// response is the answer in the terms of a token cache. An id token that can't
// be read must not cost the tokens beside it.
func (a *answer) response(grantType, clientID, environment, realm, homeAccountID string, scopes []string) tokencache.TokenResponse {
	idToken := a.IDToken
	if _, err := subjectOf(idToken); err != nil {
		idToken = ""
	}
	return tokencache.TokenResponse{
		AccessToken: a.AccessToken, RefreshToken: a.RefreshToken, IDToken: idToken,
		ClientInfo: a.ClientInfo, Scope: a.granted(scopes),
		TokenType: a.TokenType, FamilyID: a.FamilyID,
		ExpiresIn: int(a.ExpiresIn), ExtExpiresIn: int(a.ExtExpiresIn), RefreshIn: int(a.RefreshIn),
		ClientID: clientID, Environment: environment, Tenant: realm, HomeAccountID: homeAccountID,
		GrantType: grantType, Sent: a.sent,
	}
}

// granted is what the token is good for. A scope that the provider doesn't name
// is the one that was asked for (RFC 6749 section 5.1). A resource's ".default"
// stands for whatever was consented to, which the provider may list in its place:
// the token still answers a query for it.
// https://learn.microsoft.com/entra/identity-platform/scopes-oidc#the-default-scope
func (a *answer) granted(asked []string) string {
	if a.Scope == "" {
		return strings.Join(asked, " ")
	}
	granted := strings.Fields(a.Scope)
	for _, scope := range asked {
		if strings.HasSuffix(scope, "/.default") && !slices.Contains(granted, scope) {
			granted = append(granted, scope)
		}
	}
	return strings.Join(granted, " ")
}

// seconds is a number that some providers send as a string. One that can't be
// read is zero: the tokens beside it must not be lost for it.
type seconds int

func (s *seconds) UnmarshalJSON(data []byte) error {
	n, err := strconv.ParseFloat(strings.Trim(string(data), `"`), 64)
	if err == nil && n > 0 && n < 1<<31 {
		*s = seconds(n)
	}
	return nil
}

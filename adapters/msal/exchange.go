package msal

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/confidential"
	"github.com/graphtoken/graphtoken/core"
)

// exchange is the environment of MSAL in one call: the cache that it reads and the HTTP
// client that it uses. MSAL uses it from one goroutine.
type exchange struct {
	http      *http.Client
	authority authority
	discovery *discovery
	cache     []byte      // MSAL's cache
	leaseHeld func() bool // asked before the refresh token is sent; nil if none is

	credentials []confidential.Credential // to choose from; nil for a public client
	credential  int                       // the index of the one in use
	accepted    *atomic.Int32             // the client's note of the one that was accepted

	aliases    []string          // hosts that instance discovery names besides the authority's
	discovered map[string][]byte // documents that were not known before
	openID     []byte            // the discovery document of the provider's endpoints
	spent      []string          // secrets that were sent
	answer     *answer           // the provider's tokens; nil until they come
}

// Format prints nothing of the secrets.
func (x exchange) Format(s fmt.State, _ rune) {
	_, _ = io.WriteString(s, "an exchange with "+x.authority.url)
}

// Replace implements [cache.ExportReplace].
func (x *exchange) Replace(_ context.Context, c cache.Unmarshaler, _ cache.ReplaceHints) error {
	return c.Unmarshal(x.cache)
}

// Export implements [cache.ExportReplace]. MSAL can't add anything to the answer, which
// is known already.
func (x *exchange) Export(context.Context, cache.Marshaler, cache.ExportHints) error { return nil }

// Do sends a request. GET requests are discovery, and the one POST asks for tokens: an
// answer without tokens is an error.
func (x *exchange) Do(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodGet {
		return x.discover(req)
	}
	if err := x.checkEndpoint("token_endpoint", req.URL); err != nil {
		return nil, err
	}
	x.noteSecrets(req)
	if x.leaseHeld != nil && !x.leaseHeld() {
		return nil, core.ErrLeaseLost // another process may have spent the refresh token
	}
	// A token's lifetime counts from here. Counted from the arrival of the answer, it
	// would end too late, by the time that the answer or this process took.
	sent := time.Now()
	resp, body, err := x.send(req)
	if resp == nil {
		return nil, err
	}
	m, isJSON := parseMessage(body)
	// MSAL Go accepts tokens with a status of 200 and 201, MSAL Python with any status
	// that is no failure of the server.
	if resp.StatusCode < http.StatusInternalServerError {
		x.answer = m.answer(sent)
	}
	switch {
	case x.answer != nil: // whole, even if the connection broke after it
		return resp, nil
	case err != nil:
		return nil, err
	}
	return nil, x.refusal(resp, m, isJSON)
}

// CloseIdleConnections implements MSAL's interface. The connections don't belong to this
// exchange.
func (x *exchange) CloseIdleConnections() {}

func (x *exchange) discover(req *http.Request) (*http.Response, error) {
	if req.URL.Host == "" {
		return nil, providerFault(fmt.Errorf("instance discovery doesn't say where the discovery document of %s is", x.authority.host))
	}
	if req.URL.Scheme != "https" {
		return nil, providerFault(fmt.Errorf("discovery leads to %q, which is not https", core.Printable(address(req.URL))))
	}
	where := req.URL.String()
	body, known := x.discovered[where]
	if !known {
		body, known = x.discovery.get(where)
	}
	if known {
		resp := &http.Response{
			Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {"application/json"}}, Request: req,
		}
		return x.understood(resp, body), nil
	}
	resp, body, err := x.send(req)
	if err != nil {
		return nil, err
	}
	if strings.Contains(strings.ToLower(req.URL.Path), "/userrealm/") {
		return x.understood(resp, body), checkRealm(body) // a user's, and not to be remembered
	}
	if resp.StatusCode == http.StatusOK {
		if x.discovered == nil {
			x.discovered = make(map[string][]byte)
		}
		x.discovered[where] = body
	}
	return x.understood(resp, body), nil
}

// checkRealm refuses a user whose password belongs to another provider: MSAL Go would
// send it to the address in this answer.
func checkRealm(body []byte) error {
	var realm struct {
		AccountType string `json:"account_type"`
	}
	if json.Unmarshal(body, &realm) == nil && strings.EqualFold(realm.AccountType, "Federated") {
		return &fault{errors.New("the user signs in at another identity provider (a federated account), where a password isn't taken from a program: sign in with a browser"), core.FailureOfRequest}
	}
	return nil
}

// understood gives resp its body. The body of an instance discovery is corrected before
// MSAL reads it.
func (x *exchange) understood(resp *http.Response, body []byte) *http.Response {
	if resp.StatusCode == http.StatusOK && strings.HasSuffix(resp.Request.URL.Path, "/discovery/instance") {
		body = x.withAliases(body)
	}
	if resp.StatusCode == http.StatusOK && strings.HasSuffix(resp.Request.URL.Path, "/.well-known/openid-configuration") {
		x.openID = body
		body = x.withKnownIssuer(body)
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp
}

// withAliases notes the hosts that an answer of instance discovery calls aliases of the
// authority's. If the answer doesn't list the authority's host, it is added: without it
// MSAL Go finds no refresh token (storage.Manager.aadMetadata makes an entry without
// aliases), and the user would have to sign in for nothing.
func (x *exchange) withAliases(body []byte) []byte {
	if len(bytes.TrimSpace(body)) == 0 { // MSAL Go takes no answer for one that says nothing
		body = emptyDocument
	}
	var document map[string]json.RawMessage
	if json.Unmarshal(body, &document) != nil || document == nil {
		return body
	}
	type entry struct {
		Network string   `json:"preferred_network"`
		Cache   string   `json:"preferred_cache"`
		Aliases []string `json:"aliases"`
	}
	var metadata []entry
	if json.Unmarshal(document["metadata"], &metadata) != nil {
		metadata = nil
	}
	own := x.authority.host
	for _, e := range metadata {
		if slices.Contains(e.Aliases, own) {
			x.aliases = e.Aliases
			return body
		}
	}
	patched, err := json.Marshal(append(metadata, entry{own, own, []string{own}}))
	if err != nil {
		return body
	}
	document["metadata"] = patched
	if patched, err = json.Marshal(document); err != nil {
		return body
	}
	return patched
}

// withKnownIssuer returns the discovery document of a customers' tenant in a form that
// MSAL Go 1.10.1 accepts. The issuer of such a tenant has the tenant's ID in its host,
// where the authority has the tenant's name, and MSAL Go refuses any other host
// (authority.TenantDiscoveryResponse.ValidateIssuerMatchesAuthority). MSAL for .NET and
// Python accept an issuer of this form.
func (x *exchange) withKnownIssuer(body []byte) []byte {
	var document map[string]json.RawMessage
	var issuer string
	if !strings.HasSuffix(x.authority.host, customersDomain) || json.Unmarshal(body, &document) != nil || json.Unmarshal(document["issuer"], &issuer) != nil {
		return body
	}
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" {
		return body
	}
	tenant, isCustomers := strings.CutSuffix(u.Host, customersDomain)
	if !isCustomers || strings.TrimSuffix(strings.Trim(u.Path, "/"), "/v2.0") != tenant {
		return body
	}
	document["issuer"] = json.RawMessage(`"https://` + x.authority.host + `/"`)
	patched, err := json.Marshal(document)
	if err != nil {
		return body
	}
	return patched
}

// maxAnswer limits what is read of an answer, in bytes after decompression. Microsoft's
// answers have a few KB; one for a user in 200 groups has less than 20.
const maxAnswer = 1 << 20

// send returns the response with its body read into memory. If reading fails, the error
// comes together with the bytes that were read before.
func (x *exchange) send(req *http.Request) (*http.Response, []byte, error) {
	resp, err := x.client().Do(req)
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	_ = resp.Body.Close() // it is read, or the error says why not
	switch {
	case err != nil:
		err = &url.Error{Op: "Read", URL: address(req.URL), Err: err} // as a failure to send would be
	case len(body) > maxAnswer:
		err = providerFault(fmt.Errorf("the answer of %s is longer than %d bytes", address(req.URL), maxAnswer))
	}
	resp.Request = req
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, body, err
}

// keepDiscovered is called once the documents have led to tokens. If a captive portal's
// page were kept, every later call would fail.
func (x *exchange) keepDiscovered() { x.discovery.keep(x.discovered) }

// secretParameters are the parameters of a token request that no error may show, even if
// a provider quotes them.
var secretParameters = []string{"refresh_token", "code", "code_verifier", "client_secret", "client_assertion", "assertion", "device_code", "password"}

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
		x.conceal(form.Get(name))
	}
}

// conceal removes secrets from every text that is shown from now on.
func (x *exchange) conceal(secrets ...string) {
	for _, secret := range secrets {
		if secret != "" {
			x.spent = append(x.spent, secret, url.QueryEscape(secret))
		}
	}
	// The longest first: one may be a part of another.
	slices.SortFunc(x.spent, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
}

// shown makes a text fit to be shown that is the provider's, or contains parts of one.
// Characters that Printable removes may have been put into a secret, to hide it.
func (x *exchange) shown(text string) string { return x.redact(core.Printable(x.redact(text))) }

func (x *exchange) redact(text string) string {
	for _, secret := range x.spent {
		text = strings.ReplaceAll(text, secret, "[redacted]")
	}
	return text
}

// discovery remembers the provider's discovery documents, as an MSAL client does for its
// lifetime.
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

// maxDocuments limits what a service for many tenants remembers: there are two documents
// for each tenant.
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

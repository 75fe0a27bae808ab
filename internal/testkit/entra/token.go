package entra

import (
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// The grant types the token endpoint knows, as grant_type names them.
const (
	AuthorizationCode = "authorization_code"                           // RFC 6749 section 4.1
	Refresh           = "refresh_token"                                // RFC 6749 section 6
	ClientCredentials = "client_credentials"                           // RFC 6749 section 4.4
	Password          = "password"                                     // RFC 6749 section 4.3
	DeviceCode        = "urn:ietf:params:oauth:grant-type:device_code" // RFC 8628 section 3.4
	OnBehalfOf        = "urn:ietf:params:oauth:grant-type:jwt-bearer"  // RFC 7523 section 2.1, as Entra uses it
)

// Request is a token request as hooks, gates and the log see it: never with a secret in it.
type Request struct {
	Grant    string   // one of the constants above, or what the client sent instead
	N        int      // how many requests of this grant there were, this one included
	ClientID string   // unverified
	Tenant   string   // first segment of the path
	Username string   // whose code or refresh token it is, as far as known yet
	Scopes   []string // as asked
	Claims   string   // the claims parameter
}

// call is a token request on its way through the endpoint.
type call struct {
	Request
	form       url.Values
	secret     string
	clientInfo bool     // client_info=1
	at         provider // as the client named this server
	endpoint   string   // and the token endpoint in full

	user   *User // set by the grant, for the log
	family int
}

// bodyLimit is far above any token request; Graph access tokens in an assertion are the largest.
const bodyLimit = 1 << 20

// serveToken is the token endpoint. Its order is the point of this package: everything
// that can happen to a request before it changes anything, then the grant, in one step,
// then everything that can happen to the answer.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
	// The whole body must be read first: under HTTP/1.1 net/http watches for the
	// sender's end of the connection only from then on.
	if err := r.ParseForm(); err != nil {
		refuse("invalid_request", 900144, "The request body could not be read.").write(w, r, s.now())
		return
	}
	c, bad := s.parse(r)
	fault, before, after := s.received(c)

	if !standAt(r.Context(), append(before, fault.Hold)) || !pause(r.Context(), fault.Before) {
		s.dropped(c)
		cutConnection()
	}
	if fault.Status != 0 && !fault.Process {
		s.refusedByFault(c, fault)
		fault.write(w)
		return
	}
	answer, refused := s.process(r.Context(), c, bad, fault)
	if answer == nil && refused == nil {
		s.dropped(c)
		cutConnection()
	}

	// Whether the sender still waits is asked once, below.
	_ = standAt(r.Context(), append(after, fault.HoldReply)) && pause(r.Context(), fault.After)
	switch {
	case fault.Drop, r.Context().Err() != nil:
		s.replyLost()
		cutConnection()
	case fault.Status != 0:
		s.replyLost()
		fault.write(w)
	case refused != nil:
		refused.write(w, r, s.now())
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

// cutConnection ends a handler without an answer, by the one way net/http has for it:
// the connection (HTTP/1.1) or the stream (HTTP/2) is cut, the panic recovered and not
// logged. To return would send an empty 200, and a sender that is just leaving could
// still read it.
func cutConnection() { panic(http.ErrAbortHandler) }

// parse reads a request whose form is parsed; what is wrong with it is kept for later,
// because malformed requests are counted and delayed like all others.
func (s *Server) parse(r *http.Request) (*call, *refusal) {
	c := &call{
		Request: Request{
			Grant: r.PostForm.Get("grant_type"), ClientID: r.PostForm.Get("client_id"),
			Tenant: providerOf(r).tenant, Scopes: strings.Fields(r.PostForm.Get("scope")),
			Claims: r.PostForm.Get("claims"),
		},
		form: r.PostForm, secret: r.PostForm.Get("client_secret"),
		clientInfo: r.PostForm.Get("client_info") == "1", at: providerOf(r), endpoint: base(r) + r.URL.Path,
	}
	if c.Grant == "device_code" {
		// The draft's name, which MSAL Go still sends (internal/grant/grant.go) and Entra takes.
		c.Grant = DeviceCode
	}
	for name, values := range r.PostForm {
		if len(values) > 1 { // RFC 6749 section 3.2
			return c, refuse("invalid_request", 90015, "The request has more than one '%s'.", name)
		}
	}
	id, secret, basic := r.BasicAuth()
	if !basic {
		return c, nil
	}
	// RFC 6749 section 2.3.1: both are form-encoded first, and a client uses one method only.
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	switch {
	case errID != nil || errSecret != nil:
		return c, refuse("invalid_request", 900023, "The Authorization header is malformed.")
	case c.ClientID != "" && c.ClientID != id, c.secret != "" && c.secret != secret:
		return c, refuse("invalid_request", 90013, "The Authorization header and the request body name different credentials.")
	}
	c.ClientID, c.secret = id, secret
	return c, nil
}

// received counts the request and finds out what is to go wrong with it.
func (s *Server) received(c *call) (f Fault, before, after []*Gate) {
	s.mu.Lock()
	switch c.Grant {
	case Refresh:
		if t := s.refresh[digestOf(c.form.Get("refresh_token"))]; t != nil {
			c.Username = t.family.user.Username
		}
	case AuthorizationCode:
		if known := s.codes[c.form.Get("code")]; known != nil {
			c.Username = known.user.Username
		}
	}
	c.N = s.counts.received(c.Grant)
	f, queued := s.faults.next(c.Grant)
	before, after = s.faults.gatesFor(c.Grant)
	hook := s.faults.hook
	s.mu.Unlock()

	if !queued && hook != nil {
		f = hook(c.Request) // outside the lock: a hook may call the server
	}
	return f, before, after
}

// standAt passes the gates one after the other; false means that the sender left meanwhile.
func standAt(ctx context.Context, gates []*Gate) bool {
	for _, g := range gates {
		if g != nil && !g.pass(ctx) {
			return false
		}
	}
	return true
}

// pause is a sleep that ends early, and says false, when the sender leaves.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// process carries the grant out in one step that no other request sees half of.
// Neither an answer nor a refusal means that the sender was gone before it began.
func (s *Server) process(ctx context.Context, c *call, bad *refusal, f Fault) (*answer, *refusal) {
	s.mu.Lock()
	if ctx.Err() != nil {
		s.mu.Unlock()
		return nil, nil
	}
	a, refused := (*answer)(nil), bad
	if bad == nil {
		a, refused = s.grant(c, f)
	}
	event := s.counts.processed(s.opts.Clock(), c, refused)
	observe := s.opts.OnGrant
	s.mu.Unlock()
	if observe != nil {
		observe(event)
	}
	return a, refused
}

// grant judges what all grants have in common. s.mu is held.
func (s *Server) grant(c *call, f Fault) (*answer, *refusal) {
	if !s.knowsTenant(c.Tenant) {
		return nil, unknownTenant(c.Tenant)
	}
	if c.Grant == "" {
		return nil, missing("grant_type")
	}
	client, refused := s.authenticate(c)
	if refused != nil {
		return nil, refused
	}
	if refused := oneResource(c.Scopes); refused != nil {
		return nil, refused
	}
	switch c.Grant {
	case AuthorizationCode:
		return s.redeemCode(c, client)
	case Refresh:
		return s.redeemRefresh(c, client, f.OmitRefreshToken)
	case ClientCredentials:
		return s.clientCredentials(c, client)
	case DeviceCode:
		return s.redeemDevice(c, client)
	case Password:
		return s.password(c, client)
	case OnBehalfOf:
		return s.onBehalfOf(c, client)
	}
	return nil, refuse("unsupported_grant_type", 70003, "The app requested an unsupported grant type '%s'.", c.Grant)
}

// authenticate checks the client (RFC 6749 section 3.2.1). s.mu is held.
func (s *Server) authenticate(c *call) (*Client, *refusal) {
	if c.ClientID == "" {
		return nil, missing("client_id")
	}
	client, assertion := s.clients[c.ClientID], c.form.Get("client_assertion")
	switch {
	case client == nil:
		return nil, unknownClient(c.ClientID, c.Tenant)
	case client.public() && (c.secret != "" || assertion != ""):
		return nil, refuse("invalid_client", 700025, "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.")
	case client.public() && c.Grant != ClientCredentials && c.Grant != OnBehalfOf:
		return client, nil
	case assertion != "" && c.secret != "":
		return nil, refuse("invalid_request", 90013, "The request has both a 'client_assertion' and a 'client_secret'.") // RFC 6749 section 2.3
	case assertion != "":
		return client, client.checkAssertion(c.form.Get("client_assertion_type"), assertion, c.endpoint, s.opts.Clock())
	case c.secret == "":
		return nil, refuse("invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	case !client.knows(c.secret):
		return nil, refuse("invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", c.ClientID)
	}
	return client, nil
}

func (c *Client) knows(secret string) bool {
	return slices.ContainsFunc(append([]string{c.Secret}, c.OlderSecrets...), func(one string) bool {
		return one != "" && subtle.ConstantTimeCompare([]byte(one), []byte(secret)) == 1
	})
}

func (s *Server) clientCredentials(c *call, client *Client) (*answer, *refusal) {
	tenant := s.tenantID(c.Tenant)
	if tenant == "" || tenant == personalTenant {
		return nil, refuse("invalid_request", 50059, "No tenant-identifying information found in either the request or implied by any provided credentials.")
	}
	// MSAL Go asks for openid, profile and offline_access here too; Entra overlooks them.
	if asked := without(c.Scopes, oidcScopes...); len(asked) != 1 || !strings.HasSuffix(asked[0], "/.default") {
		return nil, refuse("invalid_scope", 1002012, "The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", strings.Join(c.Scopes, " "))
	}
	return s.issueForApp(c, client, tenant)
}

func missing(parameter string) *refusal {
	return refuse("invalid_request", 900144, "The request body must contain the following parameter: '%s'.", parameter)
}

func unknownClient(id, tenant string) *refusal {
	return refuse("unauthorized_client", 700016, "Application with identifier '%s' was not found in the directory '%s'.", id, tenant)
}

func (s *Server) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opts.Clock()
}

package bitwardentest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"
)

// answer is what a request is answered with: a string is the body itself, anything else
// is made JSON.
type answer struct {
	status int
	header http.Header
	body   any
}

func ok(body any) *answer { return &answer{status: http.StatusOK, body: body} }

// errorModel is ErrorResponseModel.cs.
func errorModel(message string) map[string]any {
	return map[string]any{
		"object": "error", "message": message, "validationErrors": nil,
		"exceptionMessage": nil, "exceptionStackTrace": nil, "innerExceptionMessage": nil,
	}
}

func refuse(status int, message string) *answer {
	return &answer{status: status, body: errorModel(message)}
}

// notFound is said of what isn't there and of what the account may not do alike.
func notFound() *answer { return refuse(http.StatusNotFound, "Resource not found.") }

// slowDown is CustomIpRateLimitMiddleware.cs's message.
const slowDown = "Slow down! Too many requests. Try again in 1s."

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	handle := func(prefix string, route Route, process func(*request) *answer) {
		method, path, _ := strings.Cut(string(route), " ")
		mux.HandleFunc(method+" "+prefix+path, func(w http.ResponseWriter, r *http.Request) {
			s.serve(w, r, route, process)
		})
	}
	handle("/identity", Login, s.login)
	handle("/api", List, s.authenticated(s.list))
	handle("/api", Create, s.authenticated(s.create))
	handle("/api", Sync, s.authenticated(s.sync))
	handle("/api", Get, s.authenticated(s.get))
	handle("/api", Update, s.authenticated(s.update))
	handle("/api", GetByIDs, s.authenticated(s.getByIDs))
	handle("/api", Delete, s.authenticated(s.delete))
	return mux
}

// ServeHTTP serves the identity server under /identity and the API under /api.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// request is one on its way through the server.
type request struct {
	*http.Request
	body    []byte
	account *account
}

// read is the body as JSON; the answer is to a body that isn't.
func (r *request) read(into any) *answer {
	if err := json.Unmarshal(r.body, into); err != nil {
		return refuse(http.StatusBadRequest, "The model state is invalid.")
	}
	return nil
}

// bodyLimit is far above any request: a secret has 46,000 characters at most.
const bodyLimit = 1 << 20

// serve does what all routes have in common, in the order that Fault describes.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, route Route, process func(*request) *answer) {
	// The whole body must be read first: net/http watches for the sender's end of the
	// connection only from then on.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		cutConnection()
	}
	fault := s.arrived(route)

	if !await(r.Context(), fault.Hold) {
		cutConnection()
	}
	faulty := fault.Status != 0 || fault.Drop
	var a *answer
	if !faulty || fault.Process {
		a = s.step(r.Context(), &request{Request: r, body: body}, process)
	}
	if !await(r.Context(), fault.HoldReply) || a == nil && !faulty || fault.Drop {
		cutConnection()
	}
	if fault.Status != 0 {
		a = fault.answer()
	}
	a.write(w)
}

func (s *Server) arrived(route Route) Fault {
	s.mu.Lock()
	s.counts.arrive(route)
	fault, hook := s.faults.next(route)
	s.mu.Unlock()
	if hook != nil {
		return hook(route) // outside the lock: a hook may call the server
	}
	return fault
}

// await waits until the channel is closed; a nil one is no gate. False means that the
// sender left first.
func await(ctx context.Context, gate <-chan struct{}) bool {
	if gate == nil {
		return true
	}
	select {
	case <-gate:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// step processes a request in one step that no other sees half of; without an answer the
// sender was gone before it began.
func (s *Server) step(ctx context.Context, r *request, process func(*request) *answer) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	return process(r)
}

// cutConnection ends a handler without an answer, by the one way net/http has for it.
func cutConnection() { panic(http.ErrAbortHandler) }

func (a *answer) write(w http.ResponseWriter) {
	body, raw := a.body.(string)
	if !raw && a.body != nil {
		text, err := json.Marshal(a.body)
		if err != nil {
			panic(fmt.Sprintf("bitwardentest: an answer that isn't JSON: %v", err))
		}
		body = string(text)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
	}
	for name, values := range a.header {
		w.Header()[http.CanonicalHeaderKey(name)] = values
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, body) // a reader that is gone can't be told
}

// Transport carries requests for the server's URLs to it without a network: inside a
// testing/synctest bubble a socket would keep time from passing.
func (s *Server) Transport() http.RoundTripper { return transport{s} }

// InProcess returns https URLs for the server, which clients may send credentials to, and
// an HTTP client that reaches them as [Server.Transport] does.
func (s *Server) InProcess() (apiURL, identityURL string, client *http.Client) {
	https := func(url string) string { return "https" + strings.TrimPrefix(url, "http") }
	return https(s.APIURL()), https(s.IdentityURL()), &http.Client{Transport: secureTransport{s.Transport()}}
}

// secureTransport carries https requests as if they were http.
type secureTransport struct{ plain http.RoundTripper }

func (t secureTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme = "http"
	return t.plain.RoundTrip(r)
}

type transport struct{ server *Server }

var errCut = errors.New("bitwardentest: the connection was cut")

func (t transport) RoundTrip(r *http.Request) (res *http.Response, err error) {
	if r.Body == nil {
		r = r.Clone(r.Context())
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(r.URL.String(), t.server.url+"/") {
		return nil, fmt.Errorf("bitwardentest: %s is not this server", r.URL.Redacted())
	}
	defer func() {
		if cut := recover(); cut == http.ErrAbortHandler {
			if res, err = nil, r.Context().Err(); err == nil {
				err = errCut
			}
		} else if cut != nil {
			panic(cut)
		}
	}()
	w := httptest.NewRecorder()
	t.server.ServeHTTP(w, r)
	res = w.Result()
	res.Request = r
	return res, nil
}

// bearer is a token that was issued. It is guarded by Server.mu.
type bearer struct {
	account  *account
	expires  time.Time
	requests *limit
}

// authenticated makes of a handler one that asks for a bearer token first.
func (s *Server) authenticated(process func(*request) *answer) func(*request) *answer {
	return func(r *request) *answer {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		b, known := s.bearers[token]
		now := s.opts.Clock()
		if !known || !now.Before(b.expires) {
			header := http.Header{"WWW-Authenticate": {`Bearer error="invalid_token"`}}
			return &answer{status: http.StatusUnauthorized, header: header}
		}
		if wait := b.requests.take(s.opts.RequestsPerSecond, time.Second, now); wait > 0 {
			return Throttled(wait).answer()
		}
		if org := r.PathValue("organization"); org != "" && !strings.EqualFold(org, s.organization) {
			return notFound()
		}
		r.account = b.account
		return process(r)
	}
}

// login is the token endpoint (RFC 6749 section 4.4), as SecretsManagerApiKeyProvider.cs
// and CustomTokenRequestValidator.cs make it.
func (s *Server) login(r *request) *answer {
	r.Body = io.NopCloser(bytes.NewReader(r.body))
	if err := r.ParseForm(); err != nil {
		return oauthError("invalid_request")
	}
	account := s.accounts[strings.ToLower(r.PostForm.Get("client_id"))]
	if account == nil || account.clientSecret != r.PostForm.Get("client_secret") {
		return oauthError("invalid_client")
	}
	now := s.opts.Clock()
	if wait := account.logins.take(s.opts.LoginsPerMinute, time.Minute, now); wait > 0 {
		return Throttled(wait).answer()
	}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		return oauthError("unsupported_grant_type")
	}
	if r.PostForm.Get("scope") != "api.secrets" {
		return oauthError("invalid_scope")
	}
	expires := now.Add(s.opts.Lifetime)
	token := s.jwt(account, r.PostForm.Get("client_id"), now, expires)
	s.bearers[token] = bearer{account, expires, new(limit)}
	return ok(map[string]any{
		"access_token": token, "expires_in": int(s.opts.Lifetime / time.Second), "token_type": "Bearer",
		"scope": "api.secrets", "encrypted_payload": account.payload,
	})
}

func oauthError(code string) *answer {
	return &answer{status: http.StatusBadRequest, body: map[string]any{"error": code}}
}

// Package agent hands out access tokens to programs that can't link graphtoken, in any
// language. One process keeps the refresh tokens, and refreshes once per expiry for all
// callers. It answers over a Unix socket, or over a loopback port by the protocol of App
// Service's managed identity, which every Azure SDK speaks.
//
//	a, err := agent.New(map[string]agent.Sources{"ana": ana}, agent.Options{Scopes: []string{"User.Read"}})
//	if err != nil {
//		return err
//	}
//	l, err := agent.ListenUnix("/run/user/1000/graphtoken/agent.sock")
//	if err != nil {
//		return err
//	}
//	return a.Serve(ctx, l)
//
// # Who may ask
//
// On a Unix socket, processes of the agent's own user may ask. On Linux, macOS and FreeBSD
// the kernel tells the user of a process; elsewhere the socket's mode keeps others out. On
// a loopback port, callers that send [Agent.Secret] in the header X-IDENTITY-HEADER may
// ask, and browsers may not.
//
// A refresh token never leaves the agent.
package agent

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/agent/client"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Sources are the tokens of one user, or of an application: an *account.Account.
type Sources interface {
	TokenSource(scopes ...string) *core.TokenSource
}

// Options configures an [Agent].
type Options struct {
	// Scopes are the scopes of a request that names none. A request for others is refused,
	// unless they are in Allow. Nil means Microsoft Graph's default scope,
	// https://graph.microsoft.com/.default. An allowed scope allows the default scope of its
	// resource, too.
	Scopes []string

	// Allow names more scopes that callers may ask for, by the user's name. A scope "*"
	// allows all.
	Allow map[string][]string

	// Timeout is how long a caller waits for a token at most; 30 seconds if it is zero. The
	// refresh goes on, and the next request finds its token.
	Timeout time.Duration

	// Refreshes limits the requests with a claims challenge or a minimal validity, which
	// can cost a refresh: so many a minute for each process, and for all callers together
	// whose process isn't known, such as those on a loopback port. Zero means 60, a
	// negative number no limit. Other requests have no limit.
	Refreshes int

	// Stop is called when a process of the user sends POST /stop at the Unix socket. If
	// it is nil, the answer is 400 (bad_request).
	Stop func()

	// Logger gets refused callers and failures, and never a token. Nil logs nothing.
	Logger *slog.Logger
}

// Agent is an http.Handler that answers
//
//	GET /token?user=…&scope=…&min_validity=…&claims=…
//	GET /identity?api-version=2019-08-01&resource=…[&client_id=…|&principal_id=…|&object_id=…|&mi_res_id=…]
//	GET /healthz
//	POST /stop, at a Unix socket
//
// A request that has a parameter twice (except scope), or names an identity by two
// parameters, is refused with 400 (bad_request).
//
// It is safe for concurrent use.
type Agent struct {
	users   map[string]*user // by the name in lower case
	only    *user            // where there is one
	secret  string
	timeout time.Duration
	limits  *limits
	stop    func()
	log     *slog.Logger
	now     func() time.Time
}

// user is one whom callers can ask for.
type user struct {
	name    string
	sources Sources
	scopes  []string // where the caller names none
	allowed map[string]bool
}

// graphDefault is the scope of everything that was consented to at Microsoft Graph.
const graphDefault = "https://graph.microsoft.com/.default"

// New returns an agent that hands out the tokens of s. The keys of s are the users' names.
// A caller names a user in the parameter user, or as the client_id, principal_id, object_id
// or mi_res_id of a managed identity, in any letter case. If there is one user, a caller may
// leave the name out, or send the application's client_id, which Azure's SDKs take from the
// variable AZURE_CLIENT_ID. New returns an error if s is empty or has a nil value, if two
// names differ in case alone, or if Allow has a name that s doesn't have.
func New(s map[string]Sources, o Options) (*Agent, error) {
	if len(s) == 0 {
		return nil, errors.New("agent: New has no users: give it the Sources of at least one user, under the user's name")
	}
	if o.Scopes == nil {
		o.Scopes = []string{graphDefault}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	a := &Agent{
		users:   make(map[string]*user, len(s)),
		secret:  newSecret(),
		timeout: o.Timeout,
		limits:  newLimits(o.Refreshes),
		stop:    o.Stop,
		log:     o.Logger,
		now:     time.Now,
	}
	for name, sources := range s {
		if sources == nil {
			return nil, fmt.Errorf("agent: New has nil in place of the Sources of the user %q: give it the user's account, or leave the user out", name)
		}
		if other := a.users[strings.ToLower(name)]; other != nil {
			return nil, fmt.Errorf("agent: New has the users %q and %q, and callers name users in any letter case: rename one", min(name, other.name), max(name, other.name))
		}
		u := newUser(name, sources, o)
		a.users[strings.ToLower(name)], a.only = u, u
	}
	if len(s) > 1 {
		a.only = nil
	}
	for name := range o.Allow {
		if a.users[strings.ToLower(name)] == nil {
			return nil, fmt.Errorf("agent: Options.Allow has scopes for %q, and New has no user of that name: correct the name, or give New the Sources of that user", name)
		}
	}
	return a, nil
}

func newUser(name string, sources Sources, o Options) *user {
	u := &user{name: name, sources: sources, scopes: tokencache.SplitScopes(o.Scopes...), allowed: make(map[string]bool)}
	all := u.scopes
	for other, scopes := range o.Allow {
		if strings.EqualFold(other, name) {
			all = append(all[:len(all):len(all)], tokencache.SplitScopes(scopes...)...)
		}
	}
	for _, scope := range all {
		u.allowed[normalized(scope)] = true
		u.allowed[resourceOf(scope)+"/.default"] = true
	}
	return u
}

// allows reports whether a caller may have a token with these scopes.
func (u *user) allows(scopes []string) bool {
	if u.allowed["*"] {
		return true
	}
	for _, scope := range scopes {
		if !u.allowed[normalized(scope)] {
			return false
		}
	}
	return true
}

const graph = "https://graph.microsoft.com"

// normalized is a scope as the allow-list has it: User.Read is Microsoft Graph's.
func normalized(scope string) string {
	if scope == "*" || strings.Contains(scope, "://") || tokencache.IsOpenIDScope(scope) {
		return strings.ToLower(scope)
	}
	return strings.ToLower(graph + "/" + scope)
}

// resourceOf is the resource of a scope.
func resourceOf(scope string) string {
	scope = normalized(scope)
	if i := strings.LastIndexByte(scope, '/'); i > len("https://") {
		return strings.TrimRight(scope[:i], "/")
	}
	return scope
}

// newSecret returns 256 random bits.
func newSecret() string {
	var bits [32]byte
	_, _ = rand.Read(bits[:]) // it never fails: https://pkg.go.dev/crypto/rand#Read
	return base64.RawURLEncoding.EncodeToString(bits[:])
}

// Secret is what callers on a loopback port send in X-IDENTITY-HEADER: the environment
// variable IDENTITY_HEADER of Azure's SDKs. Each Agent makes its own, which is worth
// nothing once the agent has ended.
func (a *Agent) Secret() string { return a.secret }

// ServeHTTP implements [http.Handler]. Under a server of the program's own, every caller
// must send the Secret.
func (a *Agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if refused := a.admit(r); refused != nil {
		a.log.LogAttrs(r.Context(), slog.LevelWarn, "graphtoken agent: a caller was refused", slog.String("reason", refused.message), slog.String("from", r.RemoteAddr))
		w.Header().Set("Connection", "close") // a refused caller keeps no connection
		refused.write(w)
		return
	}
	switch r.URL.Path {
	case "/stop":
		if a.stop == nil || r.Method != http.MethodPost {
			badRequest("/stop takes a POST, at an agent that can be stopped").write(w)
			return
		}
		fmt.Fprintln(w, "ok")
		a.stop()
	case "/token":
		a.answer(w, r, a.tokenRequest)
	case "/identity":
		a.answer(w, r, a.identityRequest)
	case "/healthz":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "ok")
	default:
		refuse(http.StatusNotFound, client.CodeBadRequest, "there are /token, /identity and /healthz").write(w)
	}
}

// request is what a caller asks for.
type request struct {
	user        *user
	scopes      []string
	minValidity time.Duration
	claims      string
	application string // the client ID that the token must have; empty: any
	write       func(w http.ResponseWriter, u *user, t *tokencache.AccessToken)
}

// answer finds the token that parse reads out of a request.
func (a *Agent) answer(w http.ResponseWriter, r *http.Request, parse func(*http.Request) (request, *failure)) {
	asked, refused := parse(r)
	if refused == nil {
		refused = a.permit(r, asked)
	}
	if refused != nil {
		refused.write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), a.timeout)
	defer cancel()
	t, err := asked.token(ctx)
	if err != nil {
		if r.Context().Err() != nil {
			return // the caller has gone
		}
		f := failureOf(ctx, err)
		a.log.LogAttrs(ctx, slog.LevelWarn, "graphtoken agent: no token", slog.String("user", asked.user.name), slog.String("error", err.Error()))
		f.write(w)
		return
	}
	if asked.application != "" && !strings.EqualFold(asked.application, t.ClientID) {
		unknown(asked.application).write(w)
		return
	}
	asked.write(w, asked.user, t)
}

// permit refuses scopes that the user's callers may not ask for, and too many requests that
// can cost a refresh.
func (a *Agent) permit(r *http.Request, asked request) *failure {
	switch {
	case !asked.user.allows(asked.scopes):
		return refuse(http.StatusForbidden, client.CodeForbidden, "this agent hands out no token of this user with the scopes "+core.Printable(strings.Join(asked.scopes, " ")))
	case asked.claims != "", asked.minValidity > 0:
		return a.limits.take(callerOf(r), a.now())
	}
	return nil
}

func (q *request) token(ctx context.Context) (*tokencache.AccessToken, error) {
	source := q.user.sources.TokenSource(q.scopes...)
	switch {
	case q.claims != "":
		return source.Shared(ctx, core.MinValidity(q.minValidity), core.Claims(q.claims))
	case q.minValidity > 0:
		return source.Shared(ctx, core.MinValidity(q.minValidity))
	}
	return source.Shared(ctx)
}

// named returns the user of that name, or the only one.
func (a *Agent) named(name string) (*user, *failure) {
	switch {
	case name == "" && a.only != nil:
		return a.only, nil
	case name == "":
		return nil, refuse(http.StatusBadRequest, client.CodeAmbiguous, "this agent has several users: name one (user, or client_id)")
	}
	if u := a.users[strings.ToLower(name)]; u != nil {
		return u, nil
	}
	return nil, unknown(name)
}

func unknown(name string) *failure {
	return refuse(http.StatusNotFound, client.CodeUnknownUser, fmt.Sprintf("this agent has no user and no application of the name %q; Azure's SDKs send AZURE_CLIENT_ID", core.Printable(name)))
}

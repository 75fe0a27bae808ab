// Package entra imitates Microsoft Entra on the loopback interface. MSAL Go, MSAL Python
// and python-o365 sign in and refresh with it unchanged. A test can also make it fail, to
// test a token store against everything that can go wrong between a request for tokens
// and its answer.
//
//	idp := entra.Start(t, entra.Options{Strict: true, Lifetime: time.Hour})
//	app, err := public.New(entra.PublicClient,
//		public.WithAuthority("https://login.microsoftonline.com/common"),
//		public.WithHTTPClient(idp.HTTPClient()))
//	…
//	res, err := app.AcquireTokenInteractive(ctx, scopes, public.WithOpenURL(idp.Browse))
//	…
//	idp.Grants().ByType[entra.Refresh].Succeeded // how often a refresh token was redeemed
//
// The same server has an imitation of Microsoft Graph (package graph) under /v1.0 and
// a control interface for other processes under /testkit. Tests never need to sleep:
// a [Gate] holds a request, and [Server.Wait] waits for a count.
package entra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/graph"
)

// Options says how a [Server] behaves. The zero value is an Entra with one user,
// one public and one confidential client, tokens for an hour, and refresh tokens
// that survive their use.
type Options struct {
	// Addr is where to listen; empty means a free port of 127.0.0.1. Only loopback
	// addresses are accepted: nothing here is safe to show to a network.
	Addr string

	// Users who can sign in; by default [Ana] alone.
	Users []User
	// Clients that may ask; by default [PublicClient] and [ConfidentialClient].
	Clients []Client
	// DefaultUser signs in at /authorize when the request has no login_hint.
	// Without it such a request is answered with a page to choose from.
	DefaultUser string

	// Strict makes refresh tokens single use: spending one twice revokes its whole
	// family, as RFC 9700 section 4.14.2 wants and most providers but Entra do.
	Strict bool
	// ReuseGrace is how long after its first use a spent refresh token is answered
	// with the same successor again instead of revoking the family.
	ReuseGrace time.Duration

	// Lifetime of access tokens, an hour by default. ExtLifetime is what
	// ext_expires_in says, Lifetime by default. RefreshIn, when set, is sent as
	// refresh_in, the hint to refresh early.
	Lifetime, ExtLifetime, RefreshIn time.Duration
	// RefreshLifetime is 90 days by default, CodeLifetime 10 minutes, DeviceLifetime 15.
	RefreshLifetime, CodeLifetime, DeviceLifetime time.Duration

	// Clock tells the time tokens are stamped and judged by; time.Now by default.
	// Delays and the real lifetime of connections don't follow it.
	Clock func() time.Time
	// OnGrant, if set, hears every event of the log as it happens, from many
	// goroutines at once.
	OnGrant func(Event)
}

func (o Options) withDefaults() Options {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Users == nil {
		o.Users = []User{{Username: Ana, Name: "Ana Sousa"}}
	}
	if o.Clients == nil {
		o.Clients = DefaultClients()
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	for _, d := range []struct {
		value   *time.Duration
		without time.Duration
	}{
		{&o.Lifetime, time.Hour},
		{&o.RefreshLifetime, 90 * 24 * time.Hour},
		{&o.CodeLifetime, 10 * time.Minute},
		{&o.DeviceLifetime, 15 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.without
		}
	}
	return o
}

var _ graph.Verifier = (*Server)(nil)

// Server is a running imitation. All methods are safe for concurrent use.
type Server struct {
	addr  string // host:port it listens on
	certs certificates
	http  *http.Server
	stop  context.CancelFunc // ends every request's context
	done  chan struct{}      // closed when the accept loop has ended

	client *http.Client
	graph  *graph.Server
	sealer sealer // makes and opens access tokens

	mu       sync.Mutex
	opts     Options
	users    map[string]*User // by lower-case username
	order    []string         // usernames in the order they were added
	clients  map[string]*Client
	codes    map[string]*code
	devices  map[string]*device // by device code
	refresh  map[digest]*refreshToken
	families int               // how many were ever started
	gen      map[string]uint64 // by subject; access tokens of an older generation are revoked
	faults   faults
	counts   counts
}

// New starts a server. It listens when New returns; Close stops it.
func New(o Options) (*Server, error) {
	o = o.withDefaults()
	if err := loopbackOnly(o.Addr); err != nil {
		return nil, err
	}
	certs, err := newCertificates()
	if err != nil {
		return nil, fmt.Errorf("entra: make certificates: %w", err)
	}
	sealer, err := newSealer()
	if err != nil {
		return nil, fmt.Errorf("entra: make keys: %w", err)
	}
	s := &Server{
		certs: certs, sealer: sealer, opts: o, done: make(chan struct{}),
		users: map[string]*User{}, clients: map[string]*Client{},
		codes: map[string]*code{}, devices: map[string]*device{},
		refresh: map[digest]*refreshToken{}, gen: map[string]uint64{},
		counts: newCounts(),
	}
	for _, u := range o.Users {
		if err := s.AddUser(u); err != nil {
			return nil, err
		}
	}
	for _, c := range o.Clients {
		if err := s.AddClient(c); err != nil {
			return nil, err
		}
	}
	if o.DefaultUser != "" && s.users[strings.ToLower(o.DefaultUser)] == nil {
		return nil, fmt.Errorf("entra: default user %q is not among the users", o.DefaultUser)
	}
	s.graph = graph.New(s)

	ln, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("entra: %w", err)
	}
	s.addr = ln.Addr().String()
	s.client = s.certs.clientTo(s.addr)

	var ctx context.Context
	ctx, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:     s.routes(),
		TLSConfig:   s.certs.serverConfig(),
		BaseContext: func(net.Listener) context.Context { return ctx },
		// Clients that are killed in the middle of a handshake are part of the job.
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: time.Minute,
	}
	go func() {
		defer close(s.done)
		// Serve always fails in the end: Close makes it.
		_ = s.http.ServeTLS(ln, "", "")
	}()
	return s, nil
}

// Start is [New] for a test: it fails the test instead of returning an error and
// closes the server when the test ends.
func Start(t testkit.TB, o Options) *Server {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Close cuts all connections, held requests included, and stops listening.
func (s *Server) Close() {
	s.stop()
	// Closing can only fail on the listener, which is gone either way.
	_ = s.http.Close()
	<-s.done
	s.client.CloseIdleConnections()
}

// URL is where the server listens: https://127.0.0.1:port.
func (s *Server) URL() string { return "https://" + s.addr }

// Addr is the host and port of URL.
func (s *Server) Addr() string { return s.addr }

// Authority is the authority URL of a tenant (a GUID, a domain, common,
// organizations or consumers) at the server's own address, for clients that trust
// its CA but know nothing of [Server.HTTPClient]. MSAL must then be told not to ask
// Microsoft about the host: public.WithInstanceDiscovery(false) in Go,
// instance_discovery=False in Python.
func (s *Server) Authority(tenant string) string { return s.URL() + "/" + tenant }

// CertPEM is the certificate of the CA that signed the server's own.
func (s *Server) CertPEM() []byte { return append([]byte(nil), s.certs.caPEM...) }

// WriteCA writes CertPEM to a file.
func (s *Server) WriteCA(path string) error { return writeFile(path, s.certs.caPEM) }

// HTTPClient talks to this server and to nothing else: its dialer goes here whatever
// host the URL names, and it trusts this server's CA alone. So an application keeps
// https://login.microsoftonline.com and https://graph.microsoft.com, real instance
// discovery is exercised, and nothing leaves the machine.
func (s *Server) HTTPClient() *http.Client { return s.client }

// Graph is the Microsoft Graph stand-in under /v1.0 of this server.
func (s *Server) Graph() *graph.Server { return s.graph }

// SetReuseGrace changes Options.ReuseGrace.
func (s *Server) SetReuseGrace(d time.Duration) { s.set(func(o *Options) { o.ReuseGrace = d }) }

// SetLifetime changes the lifetime of access tokens issued from now on.
func (s *Server) SetLifetime(d time.Duration) { s.set(func(o *Options) { o.Lifetime = d }) }

func (s *Server) set(edit func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit(&s.opts)
}

// routes parts the three interfaces by the first segment of the path, which for Entra is
// the tenant: no tenant is called testkit or v1.0.
func (s *Server) routes() http.Handler {
	entra, control := http.NewServeMux(), s.control()
	entra.HandleFunc("GET /common/discovery/instance", s.serveInstanceDiscovery)
	entra.HandleFunc("GET /common/userrealm/{username}", s.serveUserRealm) // MSAL Python's spelling
	entra.HandleFunc("GET /common/UserRealm/{username}", s.serveUserRealm) // MSAL Go's
	entra.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", s.serveDiscovery)
	entra.HandleFunc("GET /{tenant}/discovery/v2.0/keys", s.serveKeys)
	entra.HandleFunc("GET /{tenant}/oauth2/v2.0/authorize", s.serveAuthorize)
	entra.HandleFunc("GET /{tenant}/oauth2/v2.0/logout", s.serveLogout)
	entra.HandleFunc("POST /{tenant}/oauth2/v2.0/devicecode", s.serveDeviceCode)
	entra.HandleFunc("POST /{tenant}/oauth2/v2.0/token", s.serveToken)
	const policy = "/{tenant}/{policy}/" // Azure AD B2C's
	entra.HandleFunc("GET "+policy+"v2.0/.well-known/openid-configuration", s.serveDiscovery)
	entra.HandleFunc("GET "+policy+"oauth2/v2.0/authorize", s.serveAuthorize)
	entra.HandleFunc("POST "+policy+"oauth2/v2.0/token", s.serveToken)
	entra.HandleFunc("GET /adfs/.well-known/openid-configuration", s.serveDiscovery)
	entra.HandleFunc("GET /adfs/oauth2/authorize", s.serveAuthorize)
	entra.HandleFunc("POST /adfs/oauth2/devicecode", s.serveDeviceCode)
	entra.HandleFunc("POST /adfs/oauth2/token", s.serveToken)
	entra.HandleFunc("GET /device", s.serveDevicePage)
	entra.HandleFunc("POST /device", s.serveDeviceAnswer)

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1.0/"), r.Host == graph.FilesHost:
			s.graph.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, "/testkit/"):
			control.ServeHTTP(w, r)
		default:
			entra.ServeHTTP(w, r)
		}
	})
}

func loopbackOnly(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("entra: address %q: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("entra: address %q: %w", addr, errNotLoopback)
	}
	return nil
}

var errNotLoopback = errors.New("only loopback addresses are served")

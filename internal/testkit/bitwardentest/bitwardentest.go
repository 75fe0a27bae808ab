// Package bitwardentest imitates the server of Bitwarden Secrets Manager, which isn't
// available for tests. Bitwarden's own SDKs for Go and Python work with it unchanged.
//
//	server := bitwardentest.Start(t, bitwardentest.Options{})
//	secrets, err := bitwarden.Login(ctx, server.AccessToken(), bitwarden.LoginOptions{
//		APIURL: server.APIURL(), IdentityURL: server.IdentityURL(),
//	})
//	…
//	server.Counts()[bitwardentest.Login] // how often somebody logged in
//
// It has one organization, whose secrets are in projects, and machine accounts, each
// with one access token. Values are kept encrypted, as the clients sent them. The server
// created the organization's key and can decrypt them: [Server.Secrets] returns what is
// stored, no matter which client wrote it.
//
// Answers, statuses and limits follow the sources of Bitwarden's server
// (github.com/bitwarden/server, src/Api/SecretsManager and src/Identity) and of its
// clients (github.com/bitwarden/sdk-sm). Plain http is enough for the SDK for Go; that for
// Python needs Options.TLS.
//
// Nothing needs a sleep: a [Fault] makes a request go wrong or holds it,
// [Server.Await] waits for requests to arrive, Options.Clock moves time, and
// [Server.Transport] reaches the server without a network, as testing/synctest needs.
package bitwardentest

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// Options says how a [Server] behaves. The zero value has no limits of rate.
type Options struct {
	// TLS makes [Start] serve https, with a certificate of the server's own.
	TLS bool

	// Lifetime of a bearer token; an hour, the service's, by default.
	Lifetime time.Duration

	// LoginsPerMinute is how many logins an access token has in a minute, and
	// RequestsPerSecond how many other requests a bearer token has in a second; those
	// beyond are answered 429 with a Retry-After. Zero sets no limit. The service counts by
	// network address, and allows 10 logins a minute, 200 reads a minute, and of writes 5 a
	// second and 60 a minute (appsettings.json of its Identity and Api).
	LoginsPerMinute, RequestsPerSecond int

	// DatePrecision is what the server's database keeps of a date: 100 nanoseconds by
	// default, as SQL Server does; PostgreSQL and MySQL keep a microsecond. The answer
	// to a write always shows 100 nanoseconds, for it shows the date before it is stored.
	DatePrecision time.Duration

	// Clock tells the time of revision dates, tokens and limits; time.Now by default.
	Clock func() time.Time
}

// tick is the resolution of .NET's clock.
const tick = 100 * time.Nanosecond

func (o Options) withDefaults() Options {
	if o.Lifetime == 0 {
		o.Lifetime = time.Hour
	}
	if o.DatePrecision == 0 {
		o.DatePrecision = tick
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

// Server is an imitation. All methods are safe for concurrent use.
type Server struct {
	opts         Options
	mux          *http.ServeMux
	url          string // where it listens; set by Start, else a name that leads nowhere
	key          key    // the organization's, which only its clients would know
	organization string
	access       string // the first account's access token
	certPEM      []byte

	mu       sync.Mutex
	projects []project
	accounts map[string]*account // by the id of their access token
	bearers  map[string]bearer
	secrets  map[string]*secret // by id
	revised  time.Time          // the last date given to a change
	faults   faults
	counts   counts
}

type project struct{ id, name string } // the name encrypted

// New makes a server that listens nowhere: [Server.Transport] reaches it.
func New(o Options) *Server {
	s := &Server{
		opts: o.withDefaults(), url: "http://bitwarden.invalid", key: newKey(), organization: newID(),
		accounts: map[string]*account{}, bearers: map[string]bearer{}, secrets: map[string]*secret{},
		counts: newCounts(),
	}
	s.mux = s.routes()
	s.NewProject("first")
	s.access = s.NewAccount(Account{})
	return s
}

// Start makes a server that listens on a free port of 127.0.0.1 until the test ends.
func Start(t testkit.TB, o Options) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("bitwardentest: %v", err)
	}
	s := New(o)
	s.url = "http://" + ln.Addr().String()
	if o.TLS {
		certificate, certPEM, err := newCertificate()
		if err != nil {
			t.Fatalf("bitwardentest: %v", err)
		}
		s.url, s.certPEM = "https://"+ln.Addr().String(), certPEM
		ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{certificate}})
	}
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		Handler:     s,
		BaseContext: func(net.Listener) context.Context { return ctx },
		// Clients that are cut off are part of the job.
		ErrorLog:          log.New(io.Discard, "", 0),
		ReadHeaderTimeout: time.Minute,
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln) // always fails in the end: Close makes it
	}()
	t.Cleanup(func() {
		cancel()
		_ = server.Close() // of the listener, which is gone either way
		<-done
	})
	return s
}

// APIURL and IdentityURL are what clients want to be given.
func (s *Server) APIURL() string { return s.url + "/api" }

// IdentityURL is where a client logs in.
func (s *Server) IdentityURL() string { return s.url + "/identity" }

// Organization is the id of the one organization.
func (s *Server) Organization() string { return s.organization }

// AccessToken is the access token of a machine account that may read and write in all
// projects.
func (s *Server) AccessToken() string { return s.access }

// Project is the id of the first project.
func (s *Server) Project() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.projects[0].id
}

// NewProject makes another project and returns its id.
func (s *Server) NewProject(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := project{id: newID(), name: s.key.seal(name)}
	s.projects = append(s.projects, p)
	return p.id
}

// Account is a machine account.
type Account struct {
	// Projects it may see; all, those to come included, where it is empty.
	Projects []string
	// ReadOnly lets it read alone.
	ReadOnly bool
}

// NewAccount makes another machine account and returns its access token.
func (s *Server) NewAccount(a Account) (accessToken string) {
	id, clientSecret, seed := newID(), rand.Text(), make([]byte, 16)
	rand.Read(seed)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accounts[id] = &account{
		Account: a, id: newID(), clientSecret: clientSecret, revised: s.date(),
		payload: shareableKey(seed).seal(`{"encryptionKey":"` + base64.StdEncoding.EncodeToString(s.key[:]) + `"}`),
	}
	return "0." + id + "." + clientSecret + ":" + base64.StdEncoding.EncodeToString(seed)
}

// Revoke takes an access token back: nobody logs in with it any more, and bearer tokens
// got with it live on, as the service's do.
func (s *Server) Revoke(accessToken string) {
	id, _, _ := strings.Cut(strings.TrimPrefix(accessToken, "0."), ".")
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.accounts, id)
}

// ExpireBearers makes the server refuse all bearer tokens it has issued, which their
// holders can't foresee.
func (s *Server) ExpireBearers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.bearers)
}

// account is guarded by Server.mu.
type account struct {
	Account
	id           string
	clientSecret string
	payload      string    // the organization's key, encrypted for the access token's holder
	revised      time.Time // when something the account sees was changed last
	logins       limit
}

func (a *account) sees(project string) bool {
	if len(a.Projects) == 0 {
		return true
	}
	for _, p := range a.Projects {
		if p == project {
			return true
		}
	}
	return false
}

func (a *account) writes(project string) bool { return !a.ReadOnly && a.sees(project) }

// date gives a change its date, a later one each time even if the clock stands. s.mu is
// held.
func (s *Server) date() time.Time {
	now := s.opts.Clock().UTC().Truncate(tick)
	if next := s.revised.Add(s.opts.DatePrecision); now.Before(next) {
		now = next
	}
	s.revised = now
	return now
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562 section 5.4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

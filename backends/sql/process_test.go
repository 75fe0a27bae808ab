//go:build unix

package sql

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/sqltest"
)

// The tests here run this binary again, as the worker processes of a web
// service that share a user's record. The provider is the strict imitation of
// Entra; time passes for everybody when the test says so.

const (
	taskVar = "GRAPHTOKEN_TEST_TASK"
	workers = 6
	user    = "ana@contoso.com"

	// leaseTTL leaves a holder time to renew on a machine that is held up.
	leaseTTL = 2 * time.Second
	// takeover is what a waiter may need beyond the lease: its longest pause
	// between two looks, and the refresh itself.
	takeover = 2 * time.Second
)

// task is what a worker is told first, then "at <duration>" again and again.
type task struct {
	Database, DSN, Table string
	Provider             provider
}

func TestMain(m *testing.M) {
	text, ok := os.LookupEnv(taskVar)
	if !ok {
		os.Exit(runAll(m))
	}
	var t task
	err := json.Unmarshal([]byte(text), &t)
	if err == nil {
		err = work(t)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// work answers every "at <duration>" with "token <its digest>" or "failed
// <why>", and says "refreshing" when it is about to ask the provider.
func work(t task) error {
	db, err := gorm.Open(database{name: t.Database, dsn: t.DSN}.dial(), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	backend, err := New(db, Options{Table: t.Table})
	if err != nil {
		return err
	}
	var passed atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(passed.Load())) }
	store := core.NewStore(backend, core.WithClock(now), core.WithLeaseTTL(leaseTTL))
	source := store.TokenSource(user, mail, func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
		fmt.Println("refreshing")
		return t.Provider.refresh(ctx, c, now())
	})
	for said := bufio.NewScanner(os.Stdin); said.Scan(); {
		d, err := time.ParseDuration(strings.TrimPrefix(said.Text(), "at "))
		if err != nil {
			return err
		}
		passed.Store(int64(d))
		if at, err := source.Token(context.Background()); err != nil {
			fmt.Println("failed", err)
		} else {
			fmt.Printf("token %x\n", sha256.Sum256([]byte(at.Secret.Reveal())))
		}
	}
	return nil
}

var mail = tokencache.Query{Username: user, ClientID: entra.PublicClient, Scopes: []string{"User.Read"}}

// provider is the imitation's token endpoint, and the certificate to trust.
type provider struct{ URL, CA string }

func (p provider) refresh(ctx context.Context, c *tokencache.Cache, now time.Time) error {
	rt, ok := c.RefreshToken(mail)
	if !ok {
		return core.ErrReauthRequired
	}
	return p.ask(ctx, c, now, url.Values{"grant_type": {entra.Refresh}, "refresh_token": {rt.Secret.Reveal()}})
}

func (p provider) signIn(ctx context.Context, c *tokencache.Cache, now time.Time) error {
	return p.ask(ctx, c, now, url.Values{"grant_type": {entra.Password}, "username": {user}, "password": {entra.UserPassword}})
}

func (p provider) ask(ctx context.Context, c *tokencache.Cache, now time.Time, form url.Values) error {
	const scopes = "openid profile offline_access User.Read"
	form.Set("client_id", entra.PublicClient)
	form.Set("client_info", "1")
	form.Set("scope", scopes)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(p.CA))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		IDToken      string `json:"id_token"`
		ClientInfo   string `json:"client_info"`
		Scope        string `json:"scope"`
		ExpiresIn    int    `json:"expires_in"`
		Error        string `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return err
	}
	switch {
	case answer.Error == "invalid_grant":
		return core.ErrReauthRequired
	case resp.StatusCode != http.StatusOK:
		return errors.New(resp.Status + " " + answer.Error)
	}
	return c.Put(tokencache.TokenResponse{
		AccessToken: answer.AccessToken, RefreshToken: answer.RefreshToken, IDToken: answer.IDToken, ClientInfo: answer.ClientInfo,
		Scope: answer.Scope, ExpiresIn: answer.ExpiresIn,
		ClientID: entra.PublicClient, Tenant: entra.Tenant, GrantType: form.Get("grant_type"), Sent: now,
	})
}

// service is the workers, the provider, and what the test knows of them.
type service struct {
	t       *testing.T
	idp     *entra.Server
	passed  atomic.Int64 // time, on everybody's clock
	workers []*worker
	heard   chan said
}

type worker struct {
	*exec.Cmd
	in io.Writer
}

type said struct {
	by   *worker
	line string
}

// serve signs the user in and starts the workers.
func serve(t *testing.T, d database, o entra.Options) *service {
	t.Helper()
	s := &service{t: t, heard: make(chan said)}
	now := func() time.Time { return time.Now().Add(time.Duration(s.passed.Load())) }
	o.Strict, o.Lifetime, o.Clock = true, time.Hour, now
	s.idp = entra.Start(t, o)
	todo := task{d.name, d.dsn, newTable(), provider{s.idp.Authority(entra.Tenant) + "/oauth2/v2.0/token", string(s.idp.CertPEM())}}

	store := core.NewStore(d.open(t, Options{Table: todo.Table}))
	err := store.Update(t.Context(), user, func(c *tokencache.Cache) error { return todo.Provider.signIn(t.Context(), c, now()) })
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(todo)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	for range workers {
		s.start(string(text), over)
	}
	return s
}

func (s *service) start(text string, over <-chan struct{}) {
	s.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	w := &worker{Cmd: exec.Command(exe)}
	w.Env = append(os.Environ(), taskVar+"="+text)
	w.Stderr = os.Stderr
	if w.in, err = w.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	out, err := w.StdoutPipe()
	if err == nil {
		err = w.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = w.Process.Kill()
		_ = w.Wait()
	})
	s.workers = append(s.workers, w)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			select {
			case s.heard <- said{w, lines.Text()}:
			case <-over:
				return
			}
		}
	}()
}

// ask has workers get a token at a time on everybody's clock.
func (s *service) ask(at time.Duration, of ...*worker) {
	s.t.Helper()
	s.passed.Store(int64(at))
	for _, w := range of {
		if _, err := fmt.Fprintln(w.in, "at", at); err != nil {
			s.t.Fatal(err)
		}
	}
}

// hear returns the next line that begins with word; other lines than the
// expected kinds fail the test.
func (s *service) hear(word string) said {
	s.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		select {
		case line := <-s.heard:
			if strings.HasPrefix(line.line, word) {
				return line
			}
			if line.line != "refreshing" {
				s.t.Fatalf("a worker says %q, and should say %q", line.line, word)
			}
		case <-deadline:
			s.t.Fatalf("no worker says %q", word)
		}
	}
}

// agree expects n answers, all with the same token.
func (s *service) agree(n int) (token string) {
	s.t.Helper()
	for range n {
		switch got := s.hear("token").line; {
		case token == "":
			token = got
		case got != token:
			s.t.Fatalf("two workers have different tokens: %q, %q", token, got)
		}
	}
	return token
}

func (s *service) wantRefreshes(n int) {
	s.t.Helper()
	g := s.idp.Grants()
	if g.RefreshesSucceeded != n || g.ByType[entra.Refresh].Failed > 0 || g.FamiliesRevoked > 0 {
		s.t.Errorf("%d refreshes succeeded and %d failed, want %d and 0; families revoked: %d",
			g.RefreshesSucceeded, g.ByType[entra.Refresh].Failed, n, g.FamiliesRevoked)
	}
}

// expiry is a time at which the token of expiry n-1 is no good any more.
func expiry(n int) time.Duration { return time.Duration(n) * 2 * time.Hour }

func TestManyProcessesRefreshOncePerExpiry(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		s := serve(t, d, entra.Options{})
		const expiries = 3
		for n := range expiries + 1 {
			s.ask(expiry(n), s.workers...)
			s.agree(workers)
			s.wantRefreshes(n)
		}
	})
}

func TestAKilledRefresherIsReplacedWithinALease(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		s := serve(t, d, entra.Options{})
		gate := s.idp.Hold(entra.Refresh)
		s.ask(expiry(1), s.workers...)
		holder := s.hear("refreshing").by
		if err := gate.Await(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		killed := time.Now()
		if err := holder.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.idp.Wait(t.Context(), func(g entra.Grants) bool { return g.ByType[entra.Refresh].Dropped == 1 }); err != nil {
			t.Fatal(err)
		}
		gate.Open()
		s.agree(workers - 1)
		if took := time.Since(killed); took > leaseTTL+takeover {
			t.Errorf("the others had a token after %v, the lease lasts %v", took, leaseTTL)
		} else {
			t.Logf("the others had a token after %v, the lease lasts %v", took, leaseTTL)
		}
		s.wantRefreshes(1)
	})
}

// The provider answered the holder, who sleeps over it for three leases. The
// others take over, and within its reuse grace the provider gives them the
// same tokens again.
func TestASleepingRefresherLosesNothing(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		s := serve(t, d, entra.Options{ReuseGrace: 30 * time.Second})
		reply := entra.NewGate()
		s.idp.Inject(entra.Refresh, entra.Fault{HoldReply: reply})
		s.ask(expiry(1), s.workers...)
		holder := s.hear("refreshing").by
		if err := reply.Await(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		awake := time.After(3 * leaseTTL)
		reply.Open()
		token := s.agree(workers - 1)
		<-awake
		if err := holder.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		if late := s.agree(1); late != token {
			t.Errorf("the late holder has another token than the others: the provider gave both the same")
		}
		if g := s.idp.Grants(); g.ReuseGraced != 1 {
			t.Errorf("a spent refresh token was taken %d times, want once", g.ReuseGraced)
		}
		// Whatever the holder saved, the next refresh token is the good one.
		before := s.idp.Grants().RefreshesSucceeded
		s.ask(expiry(2), s.workers...)
		if next := s.agree(workers); next == token {
			t.Errorf("the token of the expiry before is still in use")
		}
		s.wantRefreshes(before + 1)
	})
}

func TestAServerThatComesBackFindsNothingLost(t *testing.T) {
	for name, start := range map[string]func(sqltest.TB) database{"postgres": startPostgres, "mariadb": startMariaDB} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t)
			s := serve(t, d, entra.Options{})
			s.ask(expiry(1), s.workers...)
			token := s.agree(workers)
			d.stop()
			s.ask(expiry(1)+10*time.Minute, s.workers...)
			if meanwhile := s.agree(workers); meanwhile != token {
				t.Error("the token changed while the database was away")
			}
			d.start()
			s.ask(expiry(2), s.workers...)
			s.agree(workers)
			s.wantRefreshes(2)
			if g := s.idp.Grants(); g.ByType[entra.Password].Received != 1 {
				t.Errorf("the user signed in %d times, want once", g.ByType[entra.Password].Received)
			}
		})
	}
}

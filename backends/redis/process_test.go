//go:build unix

package redis_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

// The tests here run this binary again, as workers that share one token. A
// worker does what it is told, line by line, and answers each line:
//
//	token   asks its source for a token
//	expire  does so two hours later: its clock is set forward
//	flush   saves what is unsaved, as soon as it can
//
// Ten of its goroutines ask at one time. In between it says "asking" whenever
// it is about to ask the provider. Two variables make more of it:
//
//	GRAPHTOKEN_WORKERS=100 how many workers there are
//	GRAPHTOKEN_EXPIRIES=20 how often their token expires
const taskVar = "GRAPHTOKEN_TEST_TASK"

var query = tokencache.Query{ClientID: entra.PublicClient, Username: entra.Ana, Scopes: []string{"User.Read"}}

// task is what a worker must know.
type task struct {
	Addrs      []string
	Cluster    bool
	MasterName string // Addrs are Sentinels, which know it by this name
	TokenURL   string
	CA         string
}

func TestMain(m *testing.M) {
	given := os.Getenv(taskVar)
	if given == "" {
		os.Exit(m.Run())
	}
	var t task
	err := json.Unmarshal([]byte(given), &t)
	if err == nil {
		err = t.work(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func (t task) client() goredis.UniversalClient {
	return goredis.NewUniversalClient(&goredis.UniversalOptions{
		Addrs:         t.Addrs,
		IsClusterMode: t.Cluster,
		MasterName:    t.MasterName,
	})
}

func (t task) work(in io.Reader, out io.Writer) error {
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	p := provider{url: t.TokenURL, now: now}
	if err := p.trust(t.CA); err != nil {
		return err
	}
	backend, err := redis.New(t.client(), redis.Options{Prefix: "workers:"})
	if err != nil {
		return err
	}
	store := core.NewStore(backend, core.WithClock(now), core.WithLeaseTTL(lease))
	source := store.TokenSource("ana", query, func(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
		fmt.Fprintln(out, "asking")
		return p.refresh(ctx, c, r)
	})
	for orders := bufio.NewScanner(in); orders.Scan(); {
		ctx := context.Background()
		if orders.Text() == "expire" {
			ahead.Add(int64(2 * time.Hour))
		}
		if orders.Text() == "flush" {
			// go-redis, when dials have failed, doesn't try again for a second.
			for store.Flush(ctx) != nil {
				time.Sleep(10 * time.Millisecond)
			}
			fmt.Fprintln(out, "flushed")
			continue
		}
		fmt.Fprintln(out, ask(ctx, source))
	}
	return nil
}

// ask has ten ask the source, and says what they were given.
func ask(ctx context.Context, source *core.TokenSource) string {
	var said [10]string
	var all sync.WaitGroup
	for i := range said {
		all.Go(func() {
			token, err := source.Token(ctx)
			if err != nil {
				said[i] = fmt.Sprint("failed ", err)
				return
			}
			digest := sha256.Sum256([]byte(token.Secret))
			said[i] = "token " + hex.EncodeToString(digest[:4])
		})
	}
	all.Wait()
	for _, other := range said[1:] {
		if other != said[0] {
			return "failed: one goroutine has " + said[0] + ", another " + other
		}
	}
	return said[0]
}

// count is what a variable says, or else the number for a short run.
func count(variable string, short int) int {
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil {
		return short
	}
	return n
}

// provider is the imitation of Entra as a client sees it.
type provider struct {
	url    string
	client http.Client
	now    func() time.Time
}

func (p *provider) trust(ca string) error {
	pem, err := os.ReadFile(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", ca)
	}
	p.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	return nil
}

func (p *provider) refresh(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
	token, ok := c.RefreshToken(r.Query)
	if !ok {
		return core.ErrReauthRequired
	}
	return p.ask(ctx, c, url.Values{"grant_type": {entra.Refresh}, "refresh_token": {token.Secret.Reveal()}})
}

func (p *provider) signIn(ctx context.Context, c *tokencache.Cache) error {
	return p.ask(ctx, c, url.Values{"grant_type": {entra.Password}, "username": {entra.Ana}, "password": {entra.UserPassword}})
}

// ask leaves in c what the provider answers.
func (p *provider) ask(ctx context.Context, c *tokencache.Cache, form url.Values) error {
	form.Set("client_id", entra.PublicClient)
	form.Set("client_info", "1")
	form.Set("scope", "User.Read openid profile offline_access")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	sent := p.now()
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var a struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
		IDToken      string `json:"id_token"`
		ClientInfo   string `json:"client_info"`
		Scope        string `json:"scope"`
		ExpiresIn    int    `json:"expires_in"`
		Error        string `json:"error"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return fmt.Errorf("%s: %w", resp.Status, err)
	}
	switch {
	case a.Error == "invalid_grant":
		return core.ErrReauthRequired
	case a.Error != "":
		return fmt.Errorf("%s: %s", resp.Status, a.Error)
	}
	return c.Put(tokencache.TokenResponse{
		AccessToken: a.AccessToken, RefreshToken: a.RefreshToken, IDToken: a.IDToken, ClientInfo: a.ClientInfo,
		Scope: a.Scope, ExpiresIn: a.ExpiresIn, ClientID: entra.PublicClient, Tenant: "common", Sent: sent,
	})
}

// crew is workers that share one token, and the provider they get it from.
type crew struct {
	t       *testing.T
	idp     *entra.Server
	ahead   atomic.Int64
	workers []*worker
}

type worker struct {
	n   int
	cmd *exec.Cmd
	in  io.WriteCloser
	out chan string // what it says, line by line, but for "asking"

	asked chan struct{} // receives for each "asking"
}

// hire signs Ana in and starts workers on the store.
func hire(t *testing.T, where task) *crew {
	t.Helper()
	c := &crew{t: t}
	now := func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }
	c.idp = entra.Start(t, entra.Options{Strict: true, Clock: now})
	where.TokenURL = c.idp.Authority("common") + "/oauth2/v2.0/token"
	where.CA = filepath.Join(t.TempDir(), "ca.pem")
	if err := c.idp.WriteCA(where.CA); err != nil {
		t.Fatal(err)
	}
	p := provider{url: where.TokenURL, now: now}
	if err := p.trust(where.CA); err != nil {
		t.Fatal(err)
	}
	client := where.client()
	t.Cleanup(func() { client.Close() })
	backend, err := redis.New(client, redis.Options{Prefix: "workers:"})
	if err != nil {
		t.Fatal(err)
	}
	err = core.NewStore(backend).Update(t.Context(), "ana", func(cache *tokencache.Cache) error { return p.signIn(t.Context(), cache) })
	if err != nil {
		t.Fatal(err)
	}
	for n := range count("GRAPHTOKEN_WORKERS", 6) {
		c.workers = append(c.workers, startWorker(t, n, where))
	}
	return c
}

func startWorker(t *testing.T, n int, where task) *worker {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	given, err := json.Marshal(where)
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{n: n, cmd: exec.Command(exe), out: make(chan string, 16), asked: make(chan struct{}, 16)}
	w.cmd.Env = append(os.Environ(), taskVar+"="+string(given))
	w.cmd.Stderr = os.Stderr
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var read sync.WaitGroup
	read.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "asking" {
				w.asked <- struct{}{}
				continue
			}
			w.out <- lines.Text()
		}
		close(w.out)
	})
	t.Cleanup(func() {
		w.in.Close()
		w.signal(t, syscall.SIGKILL)
		read.Wait()
		w.cmd.Wait()
	})
	return w
}

// signal sends to this very process: it hasn't been waited for, so that its id
// is nobody else's.
func (w *worker) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := w.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("worker %d: %v: %v", w.n, s, err)
	}
}

// expire makes the token expire for everybody.
func (c *crew) expire(workers ...*worker) {
	c.t.Helper()
	c.ahead.Add(int64(2 * time.Hour))
	c.tell("expire", workers...)
}

func (c *crew) tell(order string, workers ...*worker) {
	c.t.Helper()
	for _, w := range workers {
		if _, err := fmt.Fprintln(w.in, order); err != nil {
			c.t.Fatalf("worker %d: %v", w.n, err)
		}
	}
}

// answers wants one and the same answer of all.
func (c *crew) answers(workers ...*worker) string {
	c.t.Helper()
	var first string
	for _, w := range workers {
		var said string
		select {
		case said = <-w.out:
		case <-time.After(time.Minute):
			c.t.Fatalf("worker %d says nothing", w.n)
		}
		if !strings.HasPrefix(said, "token ") {
			c.t.Errorf("worker %d: %s", w.n, said)
		}
		if first == "" {
			first = said
		}
		if said != first {
			c.t.Errorf("worker %d has %q, another %q", w.n, said, first)
		}
	}
	return first
}

// holder is the one that asks the provider, which keeps it waiting.
func (c *crew) holder(gate *entra.Gate) (holder *worker, others []*worker) {
	c.t.Helper()
	c.await(gate)
	for _, w := range c.workers {
		select {
		case <-w.asked:
			if holder != nil {
				c.t.Fatal("two ask the provider at one time")
			}
			holder = w
		default:
			others = append(others, w)
		}
	}
	if holder == nil {
		c.t.Fatal("nobody says that it asks the provider")
	}
	return holder, others
}

func (c *crew) await(gate *entra.Gate) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Minute)
	defer cancel()
	if err := gate.Await(ctx, 1); err != nil {
		c.t.Fatal(err)
	}
}

func (c *crew) wantRefreshes(n int) {
	c.t.Helper()
	g := c.idp.Grants()
	if g.RefreshesSucceeded != n || g.ReuseDetected != 0 || g.FamiliesRevoked != 0 {
		c.t.Errorf("%d refreshes (%d graced), %d spent tokens presented, %d families revoked; want %d refreshes",
			g.RefreshesSucceeded, g.ReuseGraced, g.ReuseDetected, g.FamiliesRevoked, n)
	}
}

func TestManyProcessesRefreshOnce(t *testing.T) {
	for name, start := range map[string]func() task{
		"one server": func() task {
			return task{Addrs: []string{redistest.Start(t).Addr}}
		},
		"Cluster": func() task {
			return task{Addrs: redistest.StartCluster(t).Addrs(), Cluster: true}
		},
		"Sentinel": func() task {
			return task{Addrs: redistest.StartSentinels(t).Addrs(), MasterName: redistest.MasterName}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := hire(t, start())
			c.tell("token", c.workers...)
			before := c.answers(c.workers...)
			delays := []time.Duration{0, lease / 2, 3 * lease}
			for i := range count("GRAPHTOKEN_EXPIRIES", len(delays)) {
				c.idp.Inject(entra.Refresh, entra.Fault{Before: delays[i%len(delays)]})
				c.expire(c.workers...)
				after := c.answers(c.workers...)
				if after == before {
					t.Errorf("the token is %q, as before", after)
				}
				before = after
				c.wantRefreshes(i + 1)
			}
		})
	}
}

func TestADeadHolderIsTakenOverWithinOneLease(t *testing.T) {
	c := hire(t, task{Addrs: []string{redistest.Start(t).Addr}})
	gate, next := entra.NewGate(), entra.NewGate()
	c.idp.Inject(entra.Refresh, entra.Fault{Hold: gate}, entra.Fault{Hold: next})
	c.expire(c.workers...)
	holder, others := c.holder(gate)
	holder.signal(t, syscall.SIGKILL)
	killed := time.Now()
	c.await(next)
	if took := time.Since(killed); took > lease+time.Second {
		t.Errorf("taken over after %v, the lease lasts %v", took, lease)
	} else {
		t.Logf("taken over after %v, the lease lasts %v", took, lease)
	}
	gate.Open() // nobody is there any more
	next.Open()
	c.answers(others...)
	c.wantRefreshes(1)
}

func TestAFrozenHolderLosesNothingAndOverwritesNothing(t *testing.T) {
	server := redistest.Start(t)
	c := hire(t, task{Addrs: []string{server.Addr}})
	c.idp.SetReuseGrace(30 * time.Second)
	gate := entra.NewGate()
	c.idp.Inject(entra.Refresh, entra.Fault{HoldReply: gate})
	c.expire(c.workers...)
	holder, others := c.holder(gate)
	holder.signal(t, syscall.SIGSTOP)
	frozen := time.Now()
	gate.Open() // the token is spent, and nobody reads the answer
	fresh := c.answers(others...)
	time.Sleep(time.Until(frozen.Add(3 * lease)))
	holder.signal(t, syscall.SIGCONT)
	c.answers(holder)
	if g := c.idp.Grants(); g.ReuseGraced != 1 {
		t.Errorf("%d spent tokens presented within the grace, want the one of who took over", g.ReuseGraced)
	}
	c.tell("token", others...)
	if now := c.answers(others...); now != fresh {
		t.Errorf("the others have %q, and had %q", now, fresh)
	}
	// What is stored must be good for the next refresh, whoever does it.
	refreshes := c.idp.Grants().RefreshesSucceeded
	c.expire(c.workers...)
	c.answers(c.workers...)
	c.wantRefreshes(refreshes + 1)
}

// What no store can prevent: the provider gave the new token to a process that
// doesn't read it, and takes the old one for stolen.
func TestAFrozenHolderWithoutGraceCostsTheSignIn(t *testing.T) {
	c := hire(t, task{Addrs: []string{redistest.Start(t).Addr}})
	gate := entra.NewGate()
	c.idp.Inject(entra.Refresh, entra.Fault{HoldReply: gate})
	c.expire(c.workers...)
	holder, others := c.holder(gate)
	holder.signal(t, syscall.SIGSTOP)
	gate.Open()
	failed := 0
	for _, w := range others {
		if said := <-w.out; strings.Contains(said, core.ErrReauthRequired.Error()) {
			failed++
		} else {
			t.Errorf("worker %d: %s", w.n, said)
		}
	}
	holder.signal(t, syscall.SIGCONT)
	c.answers(holder)
	g := c.idp.Grants()
	t.Logf("lost: %d sign-in; %d of %d workers were told to sign in again, by %d requests", g.FamiliesRevoked, failed, len(c.workers), g.ReuseDetected)
	if g.FamiliesRevoked != 1 {
		t.Errorf("%d families revoked", g.FamiliesRevoked)
	}
}

func TestAStoreThatStopsAndStartsLosesNothing(t *testing.T) {
	server := redistest.Start(t)
	c := hire(t, task{Addrs: []string{server.Addr}})
	gate := entra.NewGate()
	c.idp.Inject(entra.Refresh, entra.Fault{HoldReply: gate})
	c.ahead.Add(int64(2 * time.Hour))
	c.tell("expire", c.workers[0])
	holder, _ := c.holder(gate)
	server.Stop(t)
	gate.Open()
	fresh := c.answers(holder) // though it can't be saved
	c.tell("token", holder)
	if again := c.answers(holder); again != fresh {
		t.Errorf("the holder has %q, and had %q", again, fresh)
	}
	server.Restart(t)
	c.tell("flush", holder)
	if said := <-holder.out; said != "flushed" {
		t.Error(said)
	}
	c.tell("expire", c.workers[1:]...)
	if got := c.answers(c.workers[1:]...); got != fresh {
		t.Errorf("the others have %q, the holder saved %q", got, fresh)
	}
	c.wantRefreshes(1)

	// In the middle of everybody's life this time, with nothing under way.
	server.Kill(t)
	c.tell("token", c.workers...)
	c.answers(c.workers...)
	server.Restart(t)
	c.expire(c.workers...)
	c.answers(c.workers...)
	c.wantRefreshes(2)
}

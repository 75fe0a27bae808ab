//go:build unix

// Package processes tests many processes that share one token through a store. They
// ask for it at the same time, are killed and frozen in the middle of a refresh, and
// lose the store. The provider is the strict imitation of Entra, which revokes a
// refresh token that is used twice.
//
// The test of a backend tells how to connect to its store, and runs all cases:
//
//	func TestMain(m *testing.M) {
//		processes.Work(func(addr string) (core.TokenBackend, error) { … })
//		os.Exit(m.Run())
//	}
//
//	func TestManyProcesses(t *testing.T) {
//		server := start(t)
//		processes.Run(t, processes.Store{Where: server.Addr})
//	}
//
// The workers are the test's own binary, run again. Two variables make more
// of it:
//
//	GRAPHTOKEN_WORKERS=100   how many workers there are
//	GRAPHTOKEN_EXPIRIES=20   how often their token expires
package processes

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/workers"
)

// group is workers that share one token, and the provider they get it from.
type group struct {
	*testing.T
	store   Store
	idp     *entra.Server
	ahead   atomic.Int64 // a time.Duration, on the clock of all workers
	workers []*worker
	asking  chan *worker // those that said so; it holds the first few
}

type worker struct {
	*workers.Worker
	n       int
	answers chan string // line by line
}

// startGroup starts workers that share a record of the test's own, and has one of them
// sign Ana in.
func startGroup(t *testing.T, s Store) *group {
	t.Helper()
	g := &group{T: t, store: s, asking: make(chan *worker, 16)}
	g.idp = entra.Start(t, entra.Options{
		Strict: true,
		Clock:  func() time.Time { return time.Now().Add(time.Duration(g.ahead.Load())) },
	})
	where, err := json.Marshal(s.Where)
	if err != nil {
		t.Fatal(err)
	}
	given, err := json.Marshal(task{
		Where:    where,
		Key:      "ana-" + rand.Text(),
		LeaseTTL: s.LeaseTTL,
		Provider: provider{URL: g.idp.Authority(entra.Tenant) + "/oauth2/v2.0/token", CA: string(g.idp.CertPEM())},
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range count("GRAPHTOKEN_WORKERS", 6) {
		g.workers = append(g.workers, g.start(n, string(given)))
	}
	g.order("sign in", g.workers[0])
	if answer := g.answer(g.workers[0]); answer != "signed in" {
		t.Fatalf("the worker that should sign in answers %q", answer)
	}
	return g
}

func (g *group) start(n int, given string) *worker {
	g.Helper()
	w := &worker{Worker: workers.Start(g.T, taskVariable, given), n: n, answers: make(chan string, 16)}
	go func() {
		defer close(w.answers)
		for w.Out.Scan() {
			if w.Out.Text() != "asking" {
				w.answers <- w.Out.Text()
				continue
			}
			select {
			case g.asking <- w:
			default: // the tests look at the first few alone
			}
		}
	}()
	return w
}

// freeze stops a worker with SIGSTOP. The worker hasn't been waited for, so that its id
// is nobody else's.
func (g *group) freeze(w *worker) {
	g.Helper()
	w.Signal(g.T, syscall.SIGSTOP)
	// Its threads run on until one of them has taken the signal.
	var status syscall.WaitStatus
	for !status.Stopped() {
		if _, err := syscall.Wait4(w.Pid(), &status, syscall.WUNTRACED, nil); err != nil && err != syscall.EINTR {
			g.Fatalf("worker %d: %v", w.n, err)
		}
	}
}

// order gives workers an order.
func (g *group) order(order string, workers ...*worker) {
	g.Helper()
	for _, w := range workers {
		w.Tell(g.T, order)
	}
}

// ask has workers ask for the token, by the group's clock.
func (g *group) ask(workers ...*worker) {
	g.Helper()
	g.order(fmt.Sprint("at ", time.Duration(g.ahead.Load())), workers...)
}

// askUntil has them ask until the store can be reached: after an outage a client
// may not dial for a second, nor core.Store ask again.
func (g *group) askUntil(workers ...*worker) {
	g.Helper()
	g.order(fmt.Sprint("until ", time.Duration(g.ahead.Load())), workers...)
}

// expire makes the token expire for all workers; those that ask notice.
func (g *group) expire() { g.ahead.Add(int64(2 * time.Hour)) }

// answer is a worker's next answer.
func (g *group) answer(w *worker) string {
	g.Helper()
	select {
	case answer, ok := <-w.answers:
		if !ok {
			g.Fatalf("worker %d is gone", w.n)
		}
		return answer
	case <-time.After(2 * time.Minute):
		g.Fatalf("worker %d doesn't answer", w.n)
	}
	return ""
}

// agree wants one and the same token of all workers, and returns what stands for it.
func (g *group) agree(workers ...*worker) string {
	g.Helper()
	var first string
	for _, w := range workers {
		answer := g.answer(w)
		if !strings.HasPrefix(answer, "token ") {
			g.Errorf("worker %d: %s", w.n, answer)
		}
		if first == "" {
			first = answer
		}
		if answer != first {
			g.Errorf("worker %d has %q, another %q", w.n, answer, first)
		}
	}
	return first
}

// holder is the worker whose request stands at the gate, and others are the rest.
func (g *group) holder(gate *entra.Gate) (holder *worker, others []*worker) {
	g.Helper()
	g.await(gate)
	select {
	case holder = <-g.asking: // said before the request was sent, and perhaps heard after
	case <-time.After(time.Minute):
		g.Fatal("no worker says that it asks the provider")
	}
	select {
	case other := <-g.asking:
		g.Fatalf("workers %d and %d ask the provider at one time", holder.n, other.n)
	default:
	}
	for _, w := range g.workers {
		if w != holder {
			others = append(others, w)
		}
	}
	return holder, others
}

func (g *group) await(gate *entra.Gate) {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), time.Minute)
	defer cancel()
	if err := gate.Await(ctx, 1); err != nil {
		g.Fatal(err)
	}
}

// wantRefreshes wants so many since the beginning, and none by a spent token.
func (g *group) wantRefreshes(n int) {
	g.Helper()
	grants := g.idp.Grants()
	if grants.RefreshesSucceeded != n {
		g.Errorf("%d refreshes (%d graced), want %d", grants.RefreshesSucceeded, grants.ReuseGraced, n)
	}
	if grants.ReuseDetected != 0 {
		g.Errorf("%d spent tokens were presented, and %d families revoked", grants.ReuseDetected, grants.FamiliesRevoked)
	}
}

// count is what a variable says, or else the number for a short run.
func count(variable string, short int) int {
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil || n < 1 {
		return short
	}
	return n
}

//go:build unix

// Package crew tests what becomes of one token that many processes share
// through a store: workers that ask for it at one time, that are killed and
// frozen in the middle of a refresh, and whose store goes away. The provider is
// the strict imitation of Entra, which revokes a refresh token spent twice.
//
// A test of a backend says how its store is reached, and runs all there is:
//
//	func TestMain(m *testing.M) {
//		crew.Work(func(addr string) (core.TokenBackend, error) { … })
//		os.Exit(m.Run())
//	}
//
//	func TestManyProcesses(t *testing.T) {
//		server := start(t)
//		crew.Run(t, crew.Store{Where: server.Addr})
//	}
//
// The workers are the test's own binary, run again. Two variables make more
// of it:
//
//	GRAPHTOKEN_WORKERS=100   how many workers there are
//	GRAPHTOKEN_EXPIRIES=20   how often their token expires
package crew

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// crew is workers that share one token, and the provider they get it from.
type crew struct {
	*testing.T
	store   Store
	idp     *entra.Server
	ahead   atomic.Int64 // a time.Duration, on everybody's clock
	workers []*worker
	asking  chan *worker // who said so; it holds the first few
}

type worker struct {
	n    int
	cmd  *exec.Cmd
	in   io.WriteCloser
	said chan string // its answers, line by line
}

// hire starts workers who share a record of the test's own, and has one sign
// Ana in.
func hire(t *testing.T, s Store) *crew {
	t.Helper()
	c := &crew{T: t, store: s, asking: make(chan *worker, 16)}
	c.idp = entra.Start(t, entra.Options{
		Strict: true,
		Clock:  func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) },
	})
	where, err := json.Marshal(s.Where)
	if err != nil {
		t.Fatal(err)
	}
	given, err := json.Marshal(task{
		Where:    where,
		Key:      "ana-" + rand.Text(),
		LeaseTTL: s.LeaseTTL,
		Provider: provider{URL: c.idp.Authority(entra.Tenant) + "/oauth2/v2.0/token", CA: string(c.idp.CertPEM())},
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range count("GRAPHTOKEN_WORKERS", 6) {
		c.workers = append(c.workers, c.start(n, string(given)))
	}
	c.tell("sign in", c.workers[0])
	c.hear("signed in", c.workers[0])
	return c
}

func (c *crew) start(n int, given string) *worker {
	c.Helper()
	exe, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	w := &worker{n: n, cmd: exec.Command(exe), said: make(chan string, 16)}
	w.cmd.Env = append(os.Environ(), taskVar+"="+given)
	w.cmd.Stderr = os.Stderr
	if w.in, err = w.cmd.StdinPipe(); err != nil {
		c.Fatal(err)
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		c.Fatal(err)
	}
	var read sync.WaitGroup
	read.Go(func() {
		defer close(w.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if lines.Text() == "asking" {
				select {
				case c.asking <- w:
				default: // nobody wants to know of so many
				}
				continue
			}
			w.said <- lines.Text()
		}
	})
	c.Cleanup(func() {
		w.in.Close()
		c.signal(w, syscall.SIGKILL)
		read.Wait()
		w.cmd.Wait()
	})
	return w
}

// signal sends to this very process: it hasn't been waited for, so that its id
// is nobody else's.
func (c *crew) signal(w *worker, s syscall.Signal) {
	c.Helper()
	if err := w.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		c.Errorf("worker %d: %v: %v", w.n, s, err)
	}
	if s == syscall.SIGSTOP {
		// Its threads run on until one of them has taken the signal.
		var status syscall.WaitStatus
		for !status.Stopped() {
			if _, err := syscall.Wait4(w.cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil && err != syscall.EINTR {
				c.Fatalf("worker %d: %v", w.n, err)
			}
		}
	}
}

// tell gives an order.
func (c *crew) tell(order string, workers ...*worker) {
	c.Helper()
	for _, w := range workers {
		if _, err := fmt.Fprintln(w.in, order); err != nil {
			c.Fatalf("worker %d: %v", w.n, err)
		}
	}
}

// ask has workers ask for the token, by everybody's clock.
func (c *crew) ask(workers ...*worker) {
	c.Helper()
	c.tell(fmt.Sprint("at ", time.Duration(c.ahead.Load())), workers...)
}

// askUntil has them ask until the store can be reached: after an outage a client
// may not dial for a second, nor core.Store ask again.
func (c *crew) askUntil(workers ...*worker) {
	c.Helper()
	c.tell(fmt.Sprint("until ", time.Duration(c.ahead.Load())), workers...)
}

// expire makes the token expire, for everybody; who asks notices.
func (c *crew) expire() { c.ahead.Add(int64(2 * time.Hour)) }

// heard is a worker's next answer.
func (c *crew) heard(w *worker) string {
	c.Helper()
	select {
	case said, ok := <-w.said:
		if !ok {
			c.Fatalf("worker %d is gone", w.n)
		}
		return said
	case <-time.After(2 * time.Minute):
		c.Fatalf("worker %d says nothing", w.n)
	}
	return ""
}

// hear wants a worker to answer just so.
func (c *crew) hear(want string, w *worker) {
	c.Helper()
	if said := c.heard(w); said != want {
		c.Fatalf("worker %d says %q, and should say %q", w.n, said, want)
	}
}

// agree wants one and the same token of all, and returns what stands for it.
func (c *crew) agree(workers ...*worker) string {
	c.Helper()
	var first string
	for _, w := range workers {
		said := c.heard(w)
		if !strings.HasPrefix(said, "token ") {
			c.Errorf("worker %d: %s", w.n, said)
		}
		if first == "" {
			first = said
		}
		if said != first {
			c.Errorf("worker %d has %q, another %q", w.n, said, first)
		}
	}
	return first
}

// holder is the one whose request stands at the gate.
func (c *crew) holder(gate *entra.Gate) (holder *worker, others []*worker) {
	c.Helper()
	c.await(gate)
	select {
	case holder = <-c.asking: // said before the request was sent, and perhaps heard after
	case <-time.After(time.Minute):
		c.Fatal("nobody says that it asks the provider")
	}
	select {
	case other := <-c.asking:
		c.Fatalf("workers %d and %d ask the provider at one time", holder.n, other.n)
	default:
	}
	for _, w := range c.workers {
		if w != holder {
			others = append(others, w)
		}
	}
	return holder, others
}

func (c *crew) await(gate *entra.Gate) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	if err := gate.Await(ctx, 1); err != nil {
		c.Fatal(err)
	}
}

// wantRefreshes wants so many since the beginning, and none by a spent token.
func (c *crew) wantRefreshes(n int) {
	c.Helper()
	g := c.idp.Grants()
	if g.RefreshesSucceeded != n || g.ReuseDetected != 0 || g.FamiliesRevoked != 0 {
		c.Errorf("%d refreshes (%d graced), %d spent tokens presented, %d families revoked; want %d refreshes",
			g.RefreshesSucceeded, g.ReuseGraced, g.ReuseDetected, g.FamiliesRevoked, n)
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

//go:build unix

package crew

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// Store is where the workers keep their token.
type Store struct {
	// Where is what [Work]'s open must know; it is handed over as JSON.
	Where any
	// LeaseTTL is how long leases last; zero means two seconds. It must leave a
	// holder time to renew on a machine that is busy.
	LeaseTTL time.Duration
	// Slack is what a takeover may take beyond the lease: a pause between two
	// looks, a dial, a busy machine. Zero means a second.
	Slack time.Duration
	// Stop stops the store, and Restart starts it again with all it held. Without
	// them that part is left out.
	Stop, Restart func(t *testing.T)
}

// Run runs every scenario, each on a record and with workers of its own.
func Run(t *testing.T, s Store) {
	if s.LeaseTTL == 0 {
		s.LeaseTTL = 2 * time.Second
	}
	if s.Slack == 0 {
		s.Slack = time.Second
	}
	for _, scenario := range []struct {
		name string
		run  func(*crew)
	}{
		{"one refresh per expiry", refreshOnce},
		{"a killed holder is replaced within a lease", killed},
		{"a frozen holder loses nothing and overwrites nothing", frozen},
		{"a frozen holder without a grace costs the sign-in", frozenWithoutGrace},
	} {
		t.Run(scenario.name, func(t *testing.T) { scenario.run(hire(t, s)) })
	}
	if s.Stop != nil {
		t.Run("a store that stops and starts loses nothing", func(t *testing.T) { outage(hire(t, s)) })
	}
}

// refreshOnce lets the provider take from no time to three leases.
func refreshOnce(c *crew) {
	c.ask(c.workers...)
	before := c.agree(c.workers...)
	halves := []int{0, 1, 6, 2, 3, 4, 5} // of a lease; a short run has the first three
	for i := range count("GRAPHTOKEN_EXPIRIES", 3) {
		c.idp.Inject(entra.Refresh, entra.Fault{Before: time.Duration(halves[i%len(halves)]) * c.store.LeaseTTL / 2})
		c.expire()
		c.ask(c.workers...)
		after := c.agree(c.workers...)
		if after == before {
			c.Errorf("after expiry %d the token is %q, as before", i+1, after)
		}
		before = after
		c.wantRefreshes(i + 1)
	}
}

// killed ends the holder before the provider has seen its request.
func killed(c *crew) {
	gate, next := entra.NewGate(), entra.NewGate()
	c.idp.Inject(entra.Refresh, entra.Fault{Hold: gate}, entra.Fault{Hold: next})
	c.expire()
	c.ask(c.workers...)
	holder, others := c.holder(gate)
	c.signal(holder, syscall.SIGKILL)
	at := time.Now()
	c.await(next)
	took := time.Since(at)
	c.Logf("taken over after %v; the lease lasts %v", took.Round(time.Millisecond), c.store.LeaseTTL)
	if took > c.store.LeaseTTL+c.store.Slack {
		c.Errorf("that is more than %v too late", c.store.Slack)
	}
	gate.Open() // nobody is there any more
	next.Open()
	c.agree(others...)
	c.wantRefreshes(1)
}

// frozen stops the holder for three leases between the provider's answer and
// the save.
func frozen(c *crew) {
	c.idp.SetReuseGrace(30 * time.Second)
	gate := entra.NewGate()
	c.idp.Inject(entra.Refresh, entra.Fault{HoldReply: gate})
	c.expire()
	c.ask(c.workers...)
	holder, others := c.holder(gate)
	c.signal(holder, syscall.SIGSTOP)
	thaw := time.After(3 * c.store.LeaseTTL)
	gate.Open() // the token is spent, and nobody reads the answer
	fresh := c.agree(others...)
	<-thaw
	c.signal(holder, syscall.SIGCONT)
	if late := c.agree(holder); late != fresh {
		c.Errorf("the holder has %q, the others %q: the provider gave both the same", late, fresh)
	}
	if g := c.idp.Grants(); g.ReuseGraced != 1 {
		c.Errorf("%d spent tokens presented within the grace, want the one of who took over", g.ReuseGraced)
	}
	c.ask(others...)
	if now := c.agree(others...); now != fresh {
		c.Errorf("the others have %q, and had %q", now, fresh)
	}
	// What is stored must be good for the next refresh, whoever does it.
	refreshes := c.idp.Grants().RefreshesSucceeded
	c.expire()
	c.ask(c.workers...)
	if next := c.agree(c.workers...); next == fresh {
		c.Errorf("the token is %q, as before the expiry", next)
	}
	c.wantRefreshes(refreshes + 1)
}

// frozenWithoutGrace counts what no store can prevent: the provider gave the
// new token to a process that doesn't read it, and takes the old one for stolen.
func frozenWithoutGrace(c *crew) {
	gate := entra.NewGate()
	c.idp.Inject(entra.Refresh, entra.Fault{HoldReply: gate})
	c.expire()
	c.ask(c.workers...)
	holder, others := c.holder(gate)
	c.signal(holder, syscall.SIGSTOP)
	gate.Open()
	failed := 0
	for _, w := range others {
		if said := c.heard(w); strings.Contains(said, core.ErrReauthRequired.Error()) {
			failed++
		} else {
			c.Errorf("worker %d: %s", w.n, said)
		}
	}
	c.signal(holder, syscall.SIGCONT)
	c.agree(holder)
	g := c.idp.Grants()
	c.Logf("lost: %d sign-in; %d of %d workers were told to sign in again, by %d requests",
		g.FamiliesRevoked, failed, len(c.workers), g.ReuseDetected)
	if g.FamiliesRevoked != 1 {
		c.Errorf("%d families revoked", g.FamiliesRevoked)
	}
}

// outage stops the store while the holder waits for the provider, and once
// more with nothing under way.
func outage(c *crew) {
	gate := entra.NewGate()
	c.idp.Inject(entra.Refresh, entra.Fault{HoldReply: gate})
	c.expire()
	c.ask(c.workers[0])
	holder, others := c.holder(gate)
	c.store.Stop(c.T)
	gate.Open()
	fresh := c.agree(holder) // though it can't be saved
	c.ask(holder)
	if again := c.agree(holder); again != fresh {
		c.Errorf("the holder has %q, and had %q", again, fresh)
	}
	c.store.Restart(c.T)
	c.tell("flush", holder)
	c.hear("flushed", holder)
	c.askUntil(others...)
	if got := c.agree(others...); got != fresh {
		c.Errorf("the others have %q, the holder saved %q", got, fresh)
	}
	c.wantRefreshes(1)

	c.store.Stop(c.T)
	c.ask(c.workers...)
	if meanwhile := c.agree(c.workers...); meanwhile != fresh {
		c.Errorf("during the outage the token is %q, and was %q", meanwhile, fresh)
	}
	c.store.Restart(c.T)
	c.expire()
	c.askUntil(c.workers...)
	c.agree(c.workers...)
	c.wantRefreshes(2)
	if g := c.idp.Grants(); g.ByType[entra.Password].Received != 1 {
		c.Errorf("Ana signed in %d times", g.ByType[entra.Password].Received)
	}
}

//go:build unix

package processes

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// Store is where the workers keep their token, and what a test can do with the place.
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
		run  func(*group)
	}{
		{"one refresh per expiry", refreshOnce},
		{"a killed holder is replaced within a lease", killed},
		{"a frozen holder loses nothing and overwrites nothing", frozen},
		{"a frozen holder without a grace costs the sign-in", frozenWithoutGrace},
	} {
		t.Run(scenario.name, func(t *testing.T) { scenario.run(startGroup(t, s)) })
	}
	if s.Stop != nil {
		t.Run("a store that stops and starts loses nothing", func(t *testing.T) { outage(startGroup(t, s)) })
	}
}

// refreshOnce lets the provider take from no time to three leases.
func refreshOnce(g *group) {
	g.ask(g.workers...)
	before := g.agree(g.workers...)
	halves := []int{0, 1, 6, 2, 3, 4, 5} // of a lease; a short run has the first three
	for i := range count("GRAPHTOKEN_EXPIRIES", 3) {
		g.idp.Inject(entra.Refresh, entra.Fault{Before: time.Duration(halves[i%len(halves)]) * g.store.LeaseTTL / 2})
		g.expire()
		g.ask(g.workers...)
		after := g.agree(g.workers...)
		if after == before {
			g.Errorf("after expiry %d the token is %q, as before", i+1, after)
		}
		before = after
		g.wantRefreshes(i + 1)
	}
}

// killed ends the holder before the provider has seen its request.
func killed(g *group) {
	gate, next := entra.NewGate(), entra.NewGate()
	g.idp.Inject(entra.Refresh, entra.Fault{Hold: gate}, entra.Fault{Hold: next})
	g.expire()
	g.ask(g.workers...)
	holder, others := g.holder(gate)
	holder.Signal(g.T, syscall.SIGKILL)
	at := time.Now()
	g.await(next)
	took := time.Since(at)
	g.Logf("taken over after %v; the lease lasts %v", took.Round(time.Millisecond), g.store.LeaseTTL)
	if took > g.store.LeaseTTL+g.store.Slack {
		g.Errorf("that is more than %v too late", g.store.Slack)
	}
	gate.Open() // nobody is there any more
	next.Open()
	g.agree(others...)
	g.wantRefreshes(1)
}

// frozen stops the holder for three leases between the provider's answer and
// the save.
func frozen(g *group) {
	g.idp.SetReuseGrace(30 * time.Second)
	gate := entra.NewGate()
	g.idp.Inject(entra.Refresh, entra.Fault{HoldReply: gate})
	g.expire()
	g.ask(g.workers...)
	holder, others := g.holder(gate)
	g.freeze(holder)
	thaw := time.After(3 * g.store.LeaseTTL)
	gate.Open() // the token is spent, and nobody reads the answer
	fresh := g.agree(others...)
	<-thaw
	holder.Signal(g.T, syscall.SIGCONT)
	if late := g.agree(holder); late != fresh {
		g.Errorf("the holder has %q, the others %q: the provider gave both the same", late, fresh)
	}
	if grants := g.idp.Grants(); grants.ReuseGraced != 1 {
		g.Errorf("%d spent tokens presented within the grace, want 1, by the process that took over", grants.ReuseGraced)
	}
	g.ask(others...)
	if now := g.agree(others...); now != fresh {
		g.Errorf("the others have %q, and had %q", now, fresh)
	}
	// The stored record must work for the next refresh, no matter which process does it.
	refreshes := g.idp.Grants().RefreshesSucceeded
	g.expire()
	g.ask(g.workers...)
	if next := g.agree(g.workers...); next == fresh {
		g.Errorf("the token is %q, as before the expiry", next)
	}
	g.wantRefreshes(refreshes + 1)
}

// frozenWithoutGrace counts what no store can prevent: the provider gave the
// new token to a process that doesn't read it, and takes the old one for stolen.
func frozenWithoutGrace(g *group) {
	gate := entra.NewGate()
	g.idp.Inject(entra.Refresh, entra.Fault{HoldReply: gate})
	g.expire()
	g.ask(g.workers...)
	holder, others := g.holder(gate)
	g.freeze(holder)
	gate.Open()
	failed := 0
	for _, w := range others {
		if answer := g.answer(w); strings.Contains(answer, core.ErrReauthRequired.Error()) {
			failed++
		} else {
			g.Errorf("worker %d: %s", w.n, answer)
		}
	}
	holder.Signal(g.T, syscall.SIGCONT)
	g.agree(holder)
	grants := g.idp.Grants()
	g.Logf("lost: %d sign-in; %d of %d workers were told to sign in again, by %d requests",
		grants.FamiliesRevoked, failed, len(g.workers), grants.ReuseDetected)
	if grants.FamiliesRevoked != 1 {
		g.Errorf("%d families revoked", grants.FamiliesRevoked)
	}
}

// outage stops the store while the holder waits for the provider, and once
// more with nothing under way.
func outage(g *group) {
	gate := entra.NewGate()
	g.idp.Inject(entra.Refresh, entra.Fault{HoldReply: gate})
	g.expire()
	g.ask(g.workers[0])
	holder, others := g.holder(gate)
	g.store.Stop(g.T)
	gate.Open()
	fresh := g.agree(holder) // though it can't be saved
	g.ask(holder)
	if again := g.agree(holder); again != fresh {
		g.Errorf("the holder has %q, and had %q", again, fresh)
	}
	g.store.Restart(g.T)
	g.order("flush", holder)
	if answer := g.answer(holder); answer != "flushed" {
		g.Fatalf("the holder should flush, and answers %q", answer)
	}
	g.askUntil(others...)
	if got := g.agree(others...); got != fresh {
		g.Errorf("the others have %q, the holder saved %q", got, fresh)
	}
	g.wantRefreshes(1)

	g.store.Stop(g.T)
	g.ask(g.workers...)
	if meanwhile := g.agree(g.workers...); meanwhile != fresh {
		g.Errorf("during the outage the token is %q, and was %q", meanwhile, fresh)
	}
	g.store.Restart(g.T)
	g.expire()
	g.askUntil(g.workers...)
	g.agree(g.workers...)
	g.wantRefreshes(2)
	if grants := g.idp.Grants(); grants.ByType[entra.Password].Received != 1 {
		g.Errorf("Ana signed in %d times", grants.ByType[entra.Password].Received)
	}
}

// Package simulation runs core in virtual time. Several processes, each with a core.Store of its
// own, share one store and one identity provider. A seed decides what goes wrong: everything
// that can. Afterwards the simulation tells whether core has kept its promises.
//
// A run consists of calls. Each call of the store or the provider takes some time. It may fail
// before its effect or after, be slow, or never be answered, and the process may freeze or die
// in the middle of it ([call]). No two things happen at the same nanosecond, so that one seed
// makes one history.
package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"
)

// run is one run of the simulation. Locks are taken in the order of records, leases,
// provider, run.
type run struct {
	seed       seed
	mutant     mutant
	conditions conditions
	users      []string
	history    history
	ledger     ledger
	records    records
	provider   provider
	callers    sync.WaitGroup
	late       sync.WaitGroup // requests that nobody waits for

	mu         sync.Mutex
	processes  []*process // the processes that live, by index
	asked      []*asked
	violations []violation
	moments    map[int64]bool // taken, in nanoseconds since the start
	over       bool
}

func newRun(s seed, m mutant) *run {
	r := &run{seed: s, mutant: m, conditions: conditionsOf(s), moments: make(map[int64]bool)}
	r.users = []string{"ana", "bo", "cy"}[:r.conditions.users]
	r.history.start = time.Now()
	r.records = records{run: r, stored: make(map[string]record)}
	r.records.leases = leases{run: r, held: make(map[string]*grantedLease), woken: make(map[string]chan struct{})}
	r.provider = provider{run: r, refresh: make(map[string]*refreshToken), access: make(map[string]*accessToken)}
	return r
}

// since is the time since the start.
func (r *run) since() time.Duration { return time.Since(r.history.start) }

// untilFree returns d, a little longer if something else happens at that moment.
func (r *run) untilFree(d time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := int64(r.since() + d)
	for r.moments[at] {
		at++
	}
	r.moments[at] = true
	return time.Duration(at) - r.since()
}

// key is the record that a user is in.
func (r *run) key(user string) string {
	if r.conditions.shared {
		return "everybody"
	}
	return user
}

func (r *run) usersOf(key string) []string {
	if r.conditions.shared {
		return r.users
	}
	return []string{key}
}

// isOver reports whether the run was judged.
func (r *run) isOver() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over
}

// oneInTen is a mutant's chance, now.
func (r *run) oneInTen(key string) bool {
	return r.seed.draw("mutant", key, text(r.since())).IntN(10) == 0
}

// ended reports whether the callers have to stop.
func (r *run) ended() bool { return r.since() >= r.conditions.length }

// play runs from the start to the end. It is called in a synctest bubble.
func (r *run) play() {
	for i := range r.conditions.processes {
		r.start(i, 0)
	}
	for _, user := range r.users {
		r.living(0).signIn(context.Background(), user)
	}
	for _, p := range r.processes {
		p.callToLife()
	}
	r.trouble()
	time.Sleep(r.conditions.length - r.since())
	r.callers.Wait()
	r.late.Wait()
	for _, p := range r.processes {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		p.flush(ctx)
		cancel()
	}
	r.checkEnd()
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	synctest.Wait()
}

// start starts a process, in place of one that died.
func (r *run) start(index, life int) *process {
	p := r.newProcess(index, life)
	r.mu.Lock()
	defer r.mu.Unlock()
	if life == 0 {
		r.processes = append(r.processes, p)
	} else {
		r.processes[index] = p
	}
	return p
}

// living is the process of an index that lives.
func (r *run) living(index int) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.processes[index]
}

// callToLife starts the callers of a process.
func (p *process) callToLife() {
	for i := range p.run.conditions.callers {
		c := p.newCaller(i)
		p.run.callers.Go(c.live)
	}
}

// failed returns what was violated and how to repeat the run, or "".
func (r *run) failed() string {
	r.mu.Lock()
	violations := slices.Clone(r.violations)
	r.mu.Unlock()
	if len(violations) == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d (%s):\n", r.seed, r.conditions.name)
	for _, v := range violations {
		fmt.Fprintf(&b, "  %s  %s: %s\n", stamp(v.at), v.invariant, strings.Join(v.words, " "))
	}
	fmt.Fprintf(&b, "its history: cd core && GRAPHTOKEN_SEED=%d go test ./internal/simulation -run TestSeed -v\n", r.seed)
	return b.String()
}

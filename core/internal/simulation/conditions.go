package simulation

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// conditions describe a run: the number of processes and users, the properties of the store and
// the provider, and what goes wrong. A seed decides them.
type conditions struct {
	name string

	processes, users, callers int
	shared                    bool // all users in one record, or each in one of its own
	watched                   bool // the store, or its leaser, is a core.Watcher
	otherLeaser               bool // leases are kept elsewhere: core.WithLeaser

	leaseTTL  time.Duration
	discovers bool // each refresh asks the provider for its addresses first

	lifetime       time.Duration // of an access token
	window, jitter time.Duration // see core.WithRefreshWindow
	length         time.Duration // of the run

	// The longest that a call takes while nothing is wrong: to the store, and to the provider.
	slowest, slowestProvider time.Duration

	// While something is wrong, these are the odds of each call.
	storeFaults, providerFaults float64
	faults                      []callFault
	failing                     []string // the operations of the store that fail; nil for all
	mishaps                     float64  // the process dies or freezes in the middle of the call
	throttles                   bool     // the provider refuses with Retry-After
	refusesScope                bool     // one caller asks for what the provider never grants
	kills, freezes, clockSteps  bool
	troubles                    []span // when things go wrong
}

// span is a part of a run.
type span struct{ from, to time.Duration }

func (s span) has(at time.Duration) bool { return s.from <= at && at < s.to }

// The kinds of run that a mutant needs.
const (
	failing  = "the store fails"
	freezing = "processes freeze"
)

// kindsOfRun are what goes wrong in a run. Most runs have one kind of fault, because an
// invariant is exact where little else can explain what happened.
var kindsOfRun = []struct {
	name string
	set  func(c *conditions, r *rand.Rand)
}{
	{"nothing goes wrong", func(*conditions, *rand.Rand) {}},
	{"nothing goes wrong, and each caller asks for what it can", func(c *conditions, _ *rand.Rand) { c.refusesScope = true }},
	{failing, func(c *conditions, r *rand.Rand) { c.storeFaults, c.failing = odds(r), operations(r) }},
	{"the provider fails", func(c *conditions, r *rand.Rand) { c.providerFaults, c.throttles = odds(r), r.IntN(2) == 0 }},
	{"processes die", func(c *conditions, r *rand.Rand) { c.kills, c.mishaps = true, odds(r)/4 }},
	{freezing, func(c *conditions, r *rand.Rand) {
		c.freezes, c.mishaps = true, odds(r)/4
		c.leaseTTL, c.discovers = 15*time.Second, true // there is time to lose the lease in a refresh
	}},
	{"clocks are set", func(c *conditions, _ *rand.Rand) { c.clockSteps = true }},
	{"everything goes wrong", func(c *conditions, r *rand.Rand) {
		c.storeFaults, c.providerFaults, c.throttles = odds(r)/2, odds(r)/2, r.IntN(4) == 0
		c.refusesScope, c.kills, c.freezes, c.clockSteps = r.IntN(4) == 0, true, true, r.IntN(2) == 0
		c.mishaps, c.failing = odds(r)/8, operations(r)
	}},
}

func odds(r *rand.Rand) float64 { return []float64{0.02, 0.1, 0.3, 0.6, 1}[r.IntN(5)] }

// operations draws what fails of the store: all of it, as in an outage, or a part, as where
// a disk is full or leases are kept elsewhere.
func operations(r *rand.Rand) []string {
	return [][]string{nil, {"save"}, {"save"}, {"load"}, {"renew", "release"}, {"acquire", "renew", "release", "wait"}}[r.IntN(6)]
}

// storeOdds are the odds that an operation of the store fails.
func (c *conditions) storeOdds(op string) float64 {
	if c.failing != nil && !slices.Contains(c.failing, op) {
		return 0
	}
	return c.storeFaults
}

// conditionsOf draws the conditions of a run.
func conditionsOf(s seed) conditions {
	r := s.draw("conditions")
	c := conditions{
		processes:   2 + r.IntN(5),
		users:       1 + r.IntN(3),
		callers:     1 + r.IntN(2),
		shared:      r.IntN(4) > 0,
		watched:     r.IntN(2) == 0,
		otherLeaser: r.IntN(4) == 0,
		leaseTTL:    []time.Duration{core.DefaultLeaseTTL, 15 * time.Second}[r.IntN(2)],
		discovers:   r.IntN(2) == 0,
		lifetime:    []time.Duration{4 * time.Minute, 8 * time.Minute, 15 * time.Minute}[r.IntN(3)],
		slowest:     []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, time.Second}[r.IntN(3)],
	}
	if c.slowestProvider = c.slowest; r.IntN(4) == 0 {
		c.slowestProvider = 14 * time.Second // twice in a refresh: longer than a lease, shorter than its time-out
	}
	if r.IntN(2) == 0 {
		c.window, c.jitter = 5*time.Minute, time.Minute
	}
	c.faults = [][]callFault{{refused}, {refused, lost}, {lost}, {slow, stuck}, {refused, refused, lost, slow, stuck}}[r.IntN(5)]
	kind := kindsOfRun[int(uint64(s)%uint64(len(kindsOfRun)))]
	c.name = kind.name
	kind.set(&c, r)
	at := time.Duration(0)
	for range 1 + r.IntN(2) {
		from := at + between(r, c.lifetime/4, c.lifetime)
		to := from + between(r, c.lifetime/8, c.lifetime)
		c.troubles = append(c.troubles, span{from, to})
		at = to
	}
	c.length = at + longest + c.lifetime
	return c
}

// promptly is how long a caller waits at most if nothing ever goes wrong. That is less than a
// lease lasts, because leases are released, unless the provider takes longer.
func (c *conditions) promptly() time.Duration {
	if c.slowestProvider > c.slowest {
		return c.patiently()
	}
	return core.DefaultLeaseTTL - 5*time.Second
}

// patiently is how long a caller waits at most once everything works again.
func (c *conditions) patiently() time.Duration {
	if c.slowestProvider > c.slowest { // several refreshes, one after the other
		return 2 * longest
	}
	return longest
}

// troubled reports whether things go wrong at a time.
func (c *conditions) troubled(at time.Duration) bool {
	for _, t := range c.troubles {
		if t.has(at) {
			return true
		}
	}
	return false
}

// quietSince returns when the last trouble before at ended, and false while
// things go wrong.
func (c *conditions) quietSince(at time.Duration) (since time.Duration, quiet bool) {
	if c.troubled(at) {
		return 0, false
	}
	for _, t := range c.troubles {
		if t.to <= at {
			since = max(since, t.to)
		}
	}
	return since, true
}

package simulation

import (
	"slices"
	"testing"
)

// mutants are each caught by one of the invariants named.
var mutants = []struct {
	name       string
	mutant     mutant
	kind       string // of the runs that can catch it; "" for all
	invariants []string
}{
	{"a store that ignores versions", mutant{IgnoresVersions: true}, "", []string{staysSignedIn, staysOut, notLost}},
	{"a store that loses saves", mutant{LosesSaves: true}, "", []string{notLost, spentOnce}},
	{"a store that answers with what was stored before", mutant{LoadsTheLast: true}, "", []string{spentOnce}},
	{"a store that keeps what it deleted", mutant{KeepsDeleted: true}, "", []string{staysOut}},
	{"a store that never recovers", mutant{NeverRecovers: true}, "", []string{flushed, notStarved}},
	{"a lease granted to everybody", mutant{GrantsTwice: true}, "", []string{spentOnce}},
	{"a lease that outlives its holder", mutant{NeverExpires: true}, "", []string{notStarved}},
	{"processes that don't coordinate", mutant{Uncoordinated: true}, "", []string{spentOnce}},
	{"a request sent without a lease", mutant{SendsWithoutLease: true}, freezing, []string{spentOnce}},
	{"a request that ends with its caller", mutant{KeepsCallersContext: true}, "", []string{spentOnce}},
	{"unsaved tokens forgotten", mutant{ForgetsUnsaved: true}, failing, []string{spentOnce, notLost}},
	{"a refresh before its time", mutant{RefreshesEarly: true}, "", []string{oneRefresh}},
	{"a clock that stands still", mutant{StopsItsClock: true}, "", []string{noDeadToken}},
}

// most is how many runs may be needed to catch a mutant.
const most = 500

// TestEachMutantIsCaught shows that the simulation can fail, for each invariant but quietEnd.
func TestEachMutantIsCaught(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			tried := 0
			for s := seed(0); tried < most; s++ {
				if m.kind != "" && conditionsOf(s).name != m.kind {
					continue
				}
				tried++
				if slices.ContainsFunc(simulate(t, s, m.mutant).violations, func(v violation) bool {
					return slices.Contains(m.invariants, v.invariant)
				}) {
					return
				}
			}
			t.Errorf("%d runs found nothing wrong with %s", tried, m.name)
		})
	}
}

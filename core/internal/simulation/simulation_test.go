package simulation

import (
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/graphtoken/graphtoken/core/internal/jitter"
)

func TestMain(m *testing.M) {
	jitter.Below = spread
	debug.SetGCPercent(400) // a run leaves much and keeps little
	os.Exit(m.Run())
}

// simulate is one run, from beginning to end.
func simulate(t *testing.T, s seed, m mutant) (r *run) {
	synctest.Test(t, func(*testing.T) {
		r = newRun(s, m)
		r.play()
	})
	return r
}

// shards divide the runs among the processors.
const shards = 8

// enough failures of one shard: the first ones tell the most.
const enough = 3

// TestCoreKeepsItsPromisesWhateverGoesWrong makes as many runs as GRAPHTOKEN_RUNS says, from the seed
// GRAPHTOKEN_FIRST on.
func TestCoreKeepsItsPromisesWhateverGoesWrong(t *testing.T) {
	var history sync.Once // one history is enough to begin with
	first, n := number(t, "GRAPHTOKEN_FIRST", 0), number(t, "GRAPHTOKEN_RUNS", runs)
	for shard := range uint64(shards) {
		t.Run(fmt.Sprint(shard), func(t *testing.T) {
			t.Parallel()
			failed := 0
			for i := first + shard; i < first+n && failed < enough; i += shards {
				r := simulate(t, seed(i), mutant{})
				if what := r.failed(); what != "" {
					t.Error(what)
					history.Do(func() { t.Logf("%+v\n%s", r.conditions, r.history.String()) })
					failed++
				}
			}
		})
	}
}

// TestSeed prints the history of the run that GRAPHTOKEN_SEED names.
func TestSeed(t *testing.T) {
	if os.Getenv("GRAPHTOKEN_SEED") == "" {
		t.Skip("GRAPHTOKEN_SEED names no run")
	}
	r := simulate(t, seed(number(t, "GRAPHTOKEN_SEED", 0)), mutant{})
	t.Logf("%+v\n%s", r.conditions, r.history.String())
	if what := r.failed(); what != "" {
		t.Error(what)
	}
}

// number is the number in an environment variable, or another where it is empty.
func number(t *testing.T, variable string, otherwise uint64) uint64 {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

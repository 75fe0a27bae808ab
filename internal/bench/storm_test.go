package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

// places are the stores of this module: each makes an empty one, and returns what
// opens it once more.
var places = map[string]func(testing.TB) func() core.TokenBackend{
	"memory": func(t testing.TB) func() core.TokenBackend {
		b, err := memory.New(memory.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return func() core.TokenBackend { return b }
	},
	"filesystem": func(t testing.TB) func() core.TokenBackend {
		dir := t.TempDir()
		return func() core.TokenBackend {
			b, err := filesystem.New(dir, filesystem.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	},
}

func openFiles(dir string) (core.TokenBackend, error) {
	return filesystem.New(dir, filesystem.Options{})
}

func TestMain(m *testing.M) {
	storm.Work(openFiles)
	os.Exit(m.Run())
}

func TestAStormOfEightProcessesRefreshesEachTokenOnce(t *testing.T) {
	const users = storm.Users
	for _, shuffled := range []bool{false, true} {
		t.Run(fmt.Sprintf("shuffled=%t", shuffled), func(t *testing.T) {
			storm.RunProcesses(t, storm.Options{Users: users, Stores: 8, Shuffled: shuffled}, t.TempDir(), openFiles).Want(t, users)
		})
	}
}

func TestAStormRefreshesEachTokenOnce(t *testing.T) {
	for name, open := range places {
		for _, shuffled := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/shuffled=%t", name, shuffled), func(t *testing.T) {
				const users = storm.Users
				storm.Run(t, storm.Options{Users: users, Stores: 8, Shuffled: shuffled}, open(t)).Want(t, users)
			})
		}
	}
}

func BenchmarkStorm(b *testing.B) {
	for name, open := range places {
		for _, users := range []int{1000, 10_000} {
			b.Run(name, func(b *testing.B) { storm.Bench(b, storm.Options{Users: users, Stores: 8}, open) })
		}
	}
}

func BenchmarkStormOfProcesses(b *testing.B) {
	for _, users := range []int{1000, 3000, 10_000} {
		storm.BenchProcesses(b, storm.Options{Users: users, Stores: 8}, func(t testing.TB) string { return t.TempDir() }, openFiles)
	}
}

// BenchmarkTokenBesideAStorm tells how long callers with a valid token wait while
// thousands wait for new ones.
func BenchmarkTokenBesideAStorm(b *testing.B) {
	for _, kept := range []bool{true, false} {
		b.Run(fmt.Sprintf("kept=%t", kept), func(b *testing.B) {
			for b.Loop() {
				var took []time.Duration
				storm.Run(b, storm.Options{Users: 10_000, Stores: 8, Beside: func(ctx context.Context, s *core.Store) {
					took = timeCalls(ctx, b, s, kept)
				}}, places["memory"](b)).Want(b, 10_000)
				slices.Sort(took)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
				b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
				b.ReportMetric(float64(len(took)), "calls")
			}
		})
	}
}

// timeCalls asks for a valid token every millisecond until ctx is done, from one source
// or from a new one each time.
func timeCalls(ctx context.Context, b *testing.B, s *core.Store, kept bool) (took []time.Duration) {
	const key = "valid"
	if _, err := s.Save(ctx, key, users(b, 1), core.Absent); err != nil {
		b.Error(err)
		return nil
	}
	q := tokencache.Query{HomeAccountID: home(0), Scopes: []string{"User.Read"}}
	source := s.TokenSource(key, q, nil)
	if _, err := source.Token(ctx); err != nil {
		b.Error(err)
	}
	for tick := time.NewTicker(time.Millisecond); ctx.Err() == nil; <-tick.C {
		began := time.Now()
		if !kept {
			source = s.TokenSource(key, q, nil)
		}
		if _, err := source.Token(ctx); err != nil {
			b.Error(err)
		}
		took = append(took, time.Since(began))
	}
	return took
}

// Users of one record share its lease, and are refreshed one after the other.
func BenchmarkOneRecordForManyUsers(b *testing.B) {
	for _, users := range []int{20, 100} {
		for _, one := range []bool{true, false} {
			b.Run(fmt.Sprintf("users=%d/one=%t", users, one), func(b *testing.B) {
				for b.Loop() {
					r := storm.Run(b, storm.Options{Users: users, Stores: 1, OneRecord: one}, places["memory"](b))
					r.Want(b, users)
					b.ReportMetric(r.Wall.Seconds(), "s")
				}
			})
		}
	}
}

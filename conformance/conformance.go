// Package conformance proves that a token backend keeps the contract of
// [core.TokenBackend]. The author of a backend writes one test:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			New:  func(t conformance.T) conformance.Env { return store{t.TempDir()} },
//			Want: conformance.Capabilities{CAS: conformance.CASEnforced, List: true},
//		})
//	}
//
//	type store struct{ dir string }
//
//	func (s store) Open(t conformance.T) core.TokenBackend {
//		b, err := mybackend.New(s.dir)
//		if err != nil {
//			t.Fatalf("%v", err)
//		}
//		return b
//	}
//
// [Run] makes every case a subtest named group/case. [Check] runs the same cases in a
// program and returns a [Report]. A failure quotes the requirement and names its line in
// this package, so that the code of the case can be read next to it.
//
// Every case gets a store of its own from [Harness.New]. Most cases open two handles on
// it: faults between two processes show between two handles, too. Cases run one after the
// other, and [Harness.Timeout] limits each.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// T is what a harness may use of the case that it serves. Under [Run] it is a *testing.T,
// under [Check] the suite's own type.
type T interface {
	Helper()
	Name() string
	Context() context.Context
	TempDir() string
	Cleanup(func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Env is one store that nobody else uses. It may also be a [Corrupter], a [Rawer], an
// [Advancer] and a [Failer]; cases that need one of these run only if it is there.
type Env interface {
	// Open returns one more independent handle on the store, as another process would
	// have. A store that exists in one process only may return the same backend again.
	// A handle that has to be closed is closed by t.Cleanup.
	Open(t T) core.TokenBackend
}

// Harness tells the suite how to reach a store, and what its backend claims.
type Harness struct {
	// New returns an empty store that nobody else uses.
	New func(t T) Env

	// Want has the backend's claims. A claim that doesn't hold is a failure, and so is a
	// capability that is there and not claimed.
	Want Capabilities

	// Skip names cases ("leases/expiry") or whole groups ("leases") that are not run,
	// with the reason. They are reported, and their profile doesn't hold. A name that
	// fits no case is an error.
	Skip map[string]string

	// Name is the backend's name in the report. If it is empty, the backend's Go type is
	// used.
	Name string

	// Timeout limits every case. A case that takes longer has its context cancelled and
	// fails; goroutines that hang are abandoned. Events that should happen promptly have
	// a fourth of it. Zero means a minute under Run, and 20 seconds under Check. After a
	// case whose event didn't happen, the other cases get a fourth, so that a backend
	// that hangs doesn't take an hour.
	Timeout time.Duration

	// LeaseTTL is the length of the leases that cases let expire. Zero means 300
	// milliseconds, which a store that counts whole seconds treats as one second. Other
	// leases are a minute long, and are released.
	LeaseTTL time.Duration

	// Progress, if it is set, is called by Check before each case, with the case's name and
	// number, from 1, and the number of all cases.
	Progress func(name string, number, all int)

	waitedInVain bool
}

// defaultTimeout is Run's. Check has a shorter one, because somebody waits for its
// report.
const defaultTimeout = time.Minute

// Run runs every case as a subtest of t.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if err := h.prepare(defaultTimeout); err != nil {
		t.Fatal(err)
	}
	for _, g := range suite() {
		t.Run(g.name, func(t *testing.T) {
			for _, k := range g.cases {
				t.Run(k.name, func(t *testing.T) {
					switch r := h.try(t.Context(), t, g.name, k); r.Outcome {
					case Failed:
						t.Errorf("%s (%s)\n%s", r.Requirement, k.must.source, r.Detail)
					case Skipped:
						t.Skip(r.Detail)
					}
				})
			}
		})
	}
}

// Check runs every case, one after the other, and reports on all of them. Its error joins
// one error for each case that failed, and ctx's error if ctx ended before the suite did;
// the remaining cases are then skipped in the report. The error is nil if the backend
// conforms.
func Check(ctx context.Context, h Harness) (Report, error) {
	report := Report{Version: Version, Backend: h.Name, Capabilities: h.Want}
	if err := h.prepare(20 * time.Second); err != nil {
		return report, err
	}
	var errs []error
	var results []result
	all := 0
	for _, g := range suite() {
		all += len(g.cases)
	}
	for _, g := range suite() {
		for _, k := range g.cases {
			if h.Progress != nil {
				h.Progress(g.name+"/"+k.name, len(results)+1, all)
			}
			r := h.try(ctx, nil, g.name, k)
			if report.Backend == "" && r.backend != nil {
				report.Backend = typeName(r.backend)
			}
			if r.Outcome == Failed {
				errs = append(errs, fmt.Errorf("%s: %s (%s)\n%s", r.Name, r.Requirement, k.must.source, r.Detail))
			}
			results = append(results, r)
			report.Cases = append(report.Cases, r.Case)
		}
	}
	report.Profiles = h.Want.profiles(results)
	if ctx.Err() != nil {
		errs = append(errs, fmt.Errorf("conformance: not run to the end: %w", context.Cause(ctx)))
	}
	return report, errors.Join(errs...)
}

// prepare fills in the defaults, and refuses a harness that can't be right.
func (h *Harness) prepare(timeout time.Duration) error {
	if h.New == nil {
		return errors.New("conformance: Harness.New is nil")
	}
	if h.Timeout <= 0 {
		h.Timeout = timeout
	}
	if h.LeaseTTL <= 0 {
		h.LeaseTTL = 300 * time.Millisecond
	}
	var known []string
	for _, g := range suite() {
		known = append(known, g.name)
		for _, k := range g.cases {
			known = append(known, g.name+"/"+k.name)
		}
	}
	for name := range h.Skip {
		if !slices.Contains(known, name) {
			return fmt.Errorf("conformance: Harness.Skip names %q, which isn't a case", name)
		}
	}
	return nil
}

// Package conformance proves that a token backend keeps the contract of
// [core.TokenBackend]. Whoever writes a backend needs one test:
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
// [Run] makes every case a subtest named group/case; [Check] runs the same
// cases in a program and returns a [Report]. A failure quotes the requirement
// and says where in this package it stands, so that the code of the case can
// be read next to it.
//
// Every case gets a store of its own from [Harness.New], and most open two
// handles on it, since what goes wrong between two processes shows between two
// handles. Cases run one after the other, each bounded by [Harness.Timeout].
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

// T is what a harness may ask of the case it serves. Under [Run] it is a
// *testing.T, under [Check] the suite's own.
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

// Env is one store that nobody else uses. It may also be a [Corrupter], a
// [Rawer], an [Advancer] and a [Failer]; the cases that need one run where it
// exists.
type Env interface {
	// Open returns one more independent handle on the store, as another
	// process would have. A store that lives in one process may return the
	// same backend again. What has to be closed is closed by t.Cleanup.
	Open(t T) core.TokenBackend
}

// Harness tells the suite how to reach a store, and what its backend claims.
type Harness struct {
	// New returns an empty store nobody else uses.
	New func(t T) Env

	// Want is what the backend claims. A claim that doesn't hold fails, and
	// so does a capability that is there and not claimed.
	Want Capabilities

	// Skip names cases ("leases/expiry") or whole groups ("leases") that are
	// not run, with the reason. They are reported, and a profile they belong
	// to doesn't hold. A name that fits no case is an error.
	Skip map[string]string

	// Name is the backend's name in the report; its Go type where empty.
	Name string

	// Timeout bounds every case: one that takes longer has its context
	// cancelled and fails, and whatever hangs is left behind. A fourth of it
	// is the patience with what should happen promptly. Zero means a minute
	// under Run, and 20 seconds under Check. After a case that waited in vain
	// the others get a fourth: a backend that hangs shouldn't take an hour.
	Timeout time.Duration

	// LeaseTTL is how long the leases last that cases let expire. Zero means
	// 300 milliseconds, which a store that counts whole seconds takes for one.
	// Other leases are asked for a minute, and released.
	LeaseTTL time.Duration

	waitedInVain bool
}

// defaultTimeout is Run's; Check, whose reader waits for it, is less patient.
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

// Check runs every case, one after the other, and reports on all of them. Its
// error joins one error for each case that failed, and ctx's when it ended
// before the suite did; the cases that were left are skipped in the report. It
// is nil when the backend conforms.
func Check(ctx context.Context, h Harness) (Report, error) {
	report := Report{Version: Version, Backend: h.Name, Capabilities: h.Want}
	if err := h.prepare(20 * time.Second); err != nil {
		return report, err
	}
	var errs []error
	var results []result
	for _, g := range suite() {
		for _, k := range g.cases {
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

// prepare fills in the defaults and refuses a harness that can't be meant.
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
			return fmt.Errorf("conformance: Harness.Skip names %q, which is no case", name)
		}
	}
	return nil
}

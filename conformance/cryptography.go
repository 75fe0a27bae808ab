package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// CryptographyHarness tells [RunCryptography] how to make a manager, and what its scheme
// can't do.
type CryptographyHarness struct {
	// New returns a manager. It is called once or twice for each case. It may return the
	// same manager again; another one with the same keys, as another process would have;
	// or one with new keys. The manager may also be an [OtherKeyer], a [KeyTeller] and a
	// [SecretHolder]; cases that need one of these run only if it is there. A struct that
	// embeds the manager can add these methods.
	New func(t T) core.CryptographyManager

	// Unbound says why the scheme doesn't bind the associated data, which are the
	// record's key: for example "Fernet has no place for them". Empty means that they are
	// bound. Both are checked: if a manager is said to leave them unbound, and binds
	// them, that is a failure.
	Unbound string

	// Skip names cases ("sizes/1-MiB") or whole groups ("sizes") that are not run, with
	// the reason. A name that fits no case is an error.
	Skip map[string]string

	// Name is the manager's name in the report. If it is empty, the manager's Go type is
	// used.
	Name string

	// Timeout limits every case, as [Harness.Timeout] does.
	Timeout time.Duration
}

// OtherKeyer is a manager that can make another manager, whose key it doesn't have. New
// may return one.
type OtherKeyer interface {
	// OtherKey returns a manager of the same scheme with a key of its own, and none of
	// this manager's.
	OtherKey(t T) core.CryptographyManager
}

// KeyTeller is an [OtherKeyer] whose errors tell a missing key from a damaged record.
type KeyTeller interface {
	// IsWrongKey reports whether err, an error of Decrypt, says that the manager doesn't
	// have the record's key.
	IsWrongKey(err error) bool
}

// SecretHolder is a manager that tells the suite which secrets must not be printed. New
// may return one.
type SecretHolder interface {
	// Secrets returns the manager's keys, as bytes and as text, each of 16 bytes or more.
	// They appear in no report.
	Secrets() []string
}

// RunCryptography proves that a [core.CryptographyManager] keeps its contract,
// and that records are as safe with it as its scheme claims. Every case is a
// subtest of t:
//
//	func TestConformance(t *testing.T) {
//		conformance.RunCryptography(t, conformance.CryptographyHarness{
//			New: func(t conformance.T) core.CryptographyManager { return mine.New(key) },
//		})
//	}
func RunCryptography(t *testing.T, h CryptographyHarness) {
	t.Helper()
	if err := h.prepare(defaultTimeout); err != nil {
		t.Fatal(err)
	}
	for _, g := range cryptographySuite() {
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

// CheckCryptography runs the cases of [RunCryptography] in a program. Its error joins one
// error for each case that failed, and ctx's error if ctx ended first. The error is nil
// if the manager conforms.
func CheckCryptography(ctx context.Context, h CryptographyHarness) (CryptographyReport, error) {
	report := CryptographyReport{Version: Version, Manager: h.Name, Unbound: h.Unbound}
	if err := h.prepare(20 * time.Second); err != nil {
		return report, err
	}
	var errs []error
	for _, g := range cryptographySuite() {
		for _, k := range g.cases {
			r := h.try(ctx, nil, g.name, k)
			report.Manager = cmp.Or(report.Manager, r.manager)
			if r.Outcome == Failed {
				errs = append(errs, fmt.Errorf("%s: %s (%s)\n%s", r.Name, r.Requirement, k.must.source, r.Detail))
			}
			report.Cases = append(report.Cases, r.Case)
		}
	}
	if ctx.Err() != nil {
		errs = append(errs, fmt.Errorf("conformance: not run to the end: %w", context.Cause(ctx)))
	}
	return report, errors.Join(errs...)
}

// CryptographyReport is the result of CheckCryptography. As JSON it is one object with
// the keys version, manager, unbound and cases.
type CryptographyReport struct {
	Version string `json:"version"` // the suite's
	Manager string `json:"manager"` // CryptographyHarness.Name, or the manager's Go type
	Unbound string `json:"unbound"` // why associated data aren't bound; empty: they are
	Cases   []Case `json:"cases"`
}

// prepare fills in the defaults, and refuses a harness that can't be right.
func (h *CryptographyHarness) prepare(timeout time.Duration) error {
	if h.New == nil {
		return errors.New("conformance: CryptographyHarness.New is nil")
	}
	if h.Timeout <= 0 {
		h.Timeout = timeout
	}
	var known []string
	for _, g := range cryptographySuite() {
		known = append(known, g.name)
		for _, k := range g.cases {
			known = append(known, g.name+"/"+k.name)
		}
	}
	for name := range h.Skip {
		if !slices.Contains(known, name) {
			return fmt.Errorf("conformance: CryptographyHarness.Skip names %q, which isn't a case", name)
		}
	}
	return nil
}

// cryptographyGroup is cases on one subject; its name is the first part of theirs.
type cryptographyGroup struct {
	name  string
	cases []cryptographyCase
}

// cryptographyCase is one requirement and how it is tried.
type cryptographyCase struct {
	name  string
	must  requirement
	needs cryptographyNeed
	run   func(c *cryptographyTrial)
}

// cryptographyNeed is a condition without which a case can't be tried.
type cryptographyNeed uint

const (
	binds cryptographyNeed = 1 << iota
	unbound
	hasOtherKey
	tellsKeys
	hasSecrets
)

// cryptographyResult is a Case, and the manager's Go type.
type cryptographyResult struct {
	Case
	manager string
}

// try runs one case until it ends or its time is over. In a program, t is nil.
func (h *CryptographyHarness) try(ctx context.Context, t *testing.T, g string, k cryptographyCase) cryptographyResult {
	r := cryptographyResult{Case: Case{Name: g + "/" + k.name, Requirement: k.must.sentence, Outcome: Skipped}}
	for _, name := range []string{r.Name, g} {
		if reason, ok := h.Skip[name]; ok {
			r.Detail = "by the harness: " + reason
			return r
		}
	}
	if ctx.Err() != nil {
		r.Detail = "not run: " + context.Cause(ctx).Error()
		return r
	}
	c := &cryptographyTrial{trial: newTrial(t, r.Name, h.Timeout), harness: h}
	r.Outcome, r.Detail, _ = c.trial.run(ctx, h.Timeout, func() {
		c.manager = c.another()
		r.manager = typeName(c.manager)
		if c.skipped = c.lacks(k.needs); c.skipped == "" {
			k.run(c)
		}
	})
	return r
}

// lacks returns what a case needs and the manager doesn't have, or the harness denies; ""
// if nothing is missing. A method with the right name and another shape fails the case,
// because otherwise it would be ignored.
func (c *cryptographyTrial) lacks(n cryptographyNeed) string {
	var missing []string
	needs := func(bit cryptographyNeed, has bool, method, kind string) {
		if !has && method != "" {
			refuse(c.host, c.manager, method)
		}
		if n&bit != 0 && !has {
			missing = append(missing, kind)
		}
	}
	_, otherKey := c.manager.(OtherKeyer)
	_, teller := c.manager.(KeyTeller)
	_, secrets := c.manager.(SecretHolder)
	needs(hasOtherKey, otherKey, "OtherKey", "the harness's manager is no OtherKeyer")
	needs(tellsKeys, teller, "IsWrongKey", "the harness's manager is no KeyTeller")
	needs(hasSecrets, secrets, "Secrets", "the harness's manager is no SecretHolder")
	needs(binds, c.harness.Unbound == "", "", "the harness says that associated data aren't bound: "+c.harness.Unbound)
	needs(unbound, c.harness.Unbound != "", "", "the harness says that associated data are bound")
	return strings.Join(missing, "; ")
}

package conformance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/conformance/internal/reference"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// plain is a backend somebody might write in ten minutes, with nothing but the
// five methods: the last writer wins, and everybody refreshes alone.
type plain struct {
	core.Uncoordinated
	mu      sync.Mutex
	records map[string][]byte
	digests bool // compare versions
}

func (p *plain) Load(ctx context.Context, key string) (core.Record, error) {
	if err := errors.Join(core.ValidateKey(key), ctx.Err()); err != nil {
		return core.Record{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	data, ok := p.records[key]
	if !ok {
		return core.Record{}, core.ErrNotFound
	}
	return core.Record{Data: slices.Clone(data), Version: digest(data)}, nil
}

func (p *plain) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if err := errors.Join(core.ValidateKey(key), ctx.Err()); err != nil {
		return "", err
	}
	if len(rec.Data) == 0 {
		return "", core.ErrCorrupt
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.digests && rec.Version != core.AnyVersion {
		stored := core.Absent
		if data, ok := p.records[key]; ok {
			stored = digest(data)
		}
		if rec.Version != stored {
			return "", core.ErrConflict
		}
	}
	p.records[key] = slices.Clone(rec.Data)
	return digest(rec.Data), nil
}

func (p *plain) Check(ctx context.Context, key string) (bool, error) {
	_, err := p.Load(ctx, key)
	if errors.Is(err, core.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (p *plain) Delete(ctx context.Context, key string) error {
	if err := errors.Join(core.ValidateKey(key), ctx.Err()); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.records, key)
	return nil
}

func digest(data []byte) core.Version {
	sum := sha256.Sum256(data)
	return core.Version(hex.EncodeToString(sum[:]))
}

// one is an Env with one handle for all.
type one struct{ b core.TokenBackend }

func (e one) Open(T) core.TokenBackend { return e.b }

func TestCorrectBackendsOfOtherKindsPass(t *testing.T) {
	for name, h := range map[string]Harness{
		"five methods and no versions": {
			New: func(T) Env { return one{&plain{records: map[string][]byte{}}} },
		},
		"digests for versions": {
			New:  func(T) Env { return one{&plain{records: map[string][]byte{}, digests: true}} },
			Want: Capabilities{CAS: CASEnforced},
		},
		"digests that claim less than they do": {
			New:  func(T) Env { return one{&plain{records: map[string][]byte{}, digests: true}} },
			Want: Capabilities{CAS: CASDetects},
		},
		"leases of another store": {
			New: func(T) Env {
				return one{core.WithLeaser(&plain{records: map[string][]byte{}, digests: true}, new(backend.LocalLeases))}
			},
			Want: Capabilities{CAS: CASDetects, Coordinates: true, Lease: true, LeaseExpires: true},
		},
	} {
		t.Run(name, func(t *testing.T) { Run(t, h) })
	}
}

func TestTheReportOfACorrectBackend(t *testing.T) {
	before := runtime.NumGoroutine()
	var told []string
	report, err := Check(t.Context(), Harness{New: func(T) Env { return full{reference.New()} }, Want: everything, Progress: func(name string, number, all int) {
		told = append(told, fmt.Sprint(number, " of ", all, ": ", name))
	}})
	if err != nil {
		t.Error(err)
	}
	for i, c := range report.Cases {
		if want := fmt.Sprint(i+1, " of ", len(report.Cases), ": ", c.Name); i >= len(told) || told[i] != want {
			t.Fatalf("the progress isn't %q: %q", want, told)
		}
	}
	for _, c := range report.Cases {
		if c.Outcome != Passed && c.Name != "payload/max-size" {
			t.Errorf("%s: %s, %s", c.Name, c.Outcome, c.Detail)
		}
		if c.Requirement == "" || !strings.HasSuffix(c.Requirement, ".") {
			t.Errorf("%s: its requirement is no sentence: %q", c.Name, c.Requirement)
		}
	}
	text, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Version, Backend string
		Capabilities     map[string]any
		Profiles         []struct {
			Name  string
			Holds bool
		}
		Cases []map[string]string
	}
	if err := json.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	if document.Version != Version || document.Backend != "reference.Backend" || document.Capabilities["cas"] != "enforced" || document.Capabilities["lease_expires"] != true {
		t.Errorf("the report begins %.300s", text)
	}
	if len(document.Profiles) != 2 || document.Profiles[0].Name != "core" || document.Profiles[1].Name != "coordinated" || !document.Profiles[0].Holds || !document.Profiles[1].Holds {
		t.Errorf("profiles: %+v", report.Profiles)
	}
	for _, member := range []string{"name", "requirement", "outcome", "detail"} {
		if _, ok := document.Cases[0][member]; !ok {
			t.Errorf("a case has no %q", member)
		}
	}
	var again Report
	if err := json.Unmarshal(text, &again); err != nil || again.Capabilities != report.Capabilities {
		t.Errorf("read back: %+v, %v", again.Capabilities, err)
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func TestAFailureQuotesTheRequirementAndWhereItStands(t *testing.T) {
	h := mutants[slices.IndexFunc(mutants, func(m mutant) bool { return m.by == "versions/stale" })].harness()
	report, err := Check(t.Context(), h)
	if err == nil {
		t.Fatal("it passes")
	}
	for _, want := range []string{"versions/stale: Save with a version that is no longer stored returns ErrConflict", "conformance/versions.go:"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	for _, p := range report.Profiles {
		if p.Holds || !strings.Contains(p.Detail, "versions/stale failed") {
			t.Errorf("profile %s: %v, %s", p.Name, p.Holds, p.Detail)
		}
	}
}

func TestSkippedCasesAreReported(t *testing.T) {
	h := Harness{New: func(T) Env { return bare{reference.New()} }, Want: Capabilities{CAS: CASEnforced}, Skip: map[string]string{}}
	for _, g := range suite() {
		h.Skip[g.name] = "for the sake of brevity"
	}
	delete(h.Skip, "outage")
	delete(h.Skip, "leases")
	report, err := Check(t.Context(), h)
	if err != nil {
		t.Error(err)
	}
	for _, c := range report.Cases {
		want := "by the harness: for the sake of brevity"
		switch group, _, _ := strings.Cut(c.Name, "/"); group {
		case "outage":
			want = "the harness's Env is no "
			if strings.Contains(c.Detail, "claim") {
				want = "the backend does not claim "
			}
		case "leases":
			want = "the backend does not claim Lease"
		}
		if c.Outcome != Skipped || !strings.HasPrefix(c.Detail, want) {
			t.Errorf("%s: %s, %q; want %q", c.Name, c.Outcome, c.Detail, want)
		}
	}
	if report.Profiles[0].Holds {
		t.Error("the core profile holds, and nothing was tried")
	}
	h.Skip = map[string]string{"basics/no-such-case": "a slip"}
	if _, err := Check(t.Context(), h); err == nil || !strings.Contains(err.Error(), "basics/no-such-case") {
		t.Errorf("Skip of what is no case: %v", err)
	}
}

func TestACaseThatHangsIsAbandoned(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	h := Harness{Timeout: 200 * time.Millisecond, Want: everything, New: func(T) Env {
		return env{Store: reference.New(), breaks: func(b *broken) {
			b.check = func(context.Context, string) (bool, error) { <-stop; return false, nil }
		}}
	}}
	h.Skip = map[string]string{}
	for _, g := range suite() {
		for _, k := range g.cases {
			if name := g.name + "/" + k.name; name != "basics/check-absent" && name != "basics/load-absent" {
				h.Skip[name] = "not what this test is about"
			}
		}
	}
	begun := time.Now()
	report, err := Check(t.Context(), h)
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if err == nil || !strings.Contains(err.Error(), "it was not over after 200ms") || !strings.Contains(err.Error(), "(*broken).Check") {
		t.Errorf("the error doesn't say what hangs: %v", err)
	}
	for _, c := range report.Cases {
		if c.Name == "basics/load-absent" && c.Outcome != Passed {
			t.Errorf("the case before: %s, %s", c.Outcome, c.Detail)
		}
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cases := 0
	enough := errors.New("enough")
	report, err := Check(ctx, Harness{Want: everything, New: func(T) Env {
		if cases++; cases == 3 {
			cancel(enough)
		}
		return full{reference.New()}
	}})
	if !errors.Is(err, enough) {
		t.Errorf("the error is %v", err)
	}
	for i, c := range report.Cases {
		if want := Passed; i >= 2 {
			if want = Skipped; c.Outcome != want {
				t.Errorf("case %d, %s: %s, %s", i, c.Name, c.Outcome, c.Detail)
			}
		}
	}
	if report.Profiles[0].Holds {
		t.Error("the core profile holds, and most was not tried")
	}
}

// tools in the other shapes that are taken.

type withT struct{ full }

func (e withT) Corrupt(_ T, key string)      { e.Store.Corrupt(key) }
func (e withT) Raw(_ T, key string) []byte   { return e.Store.Raw(key) }
func (e withT) Advance(_ T, d time.Duration) { e.Store.Advance(d) }
func (e withT) Fail(_ T, n int)              { e.Store.Fail(n) }

type withErrors struct{ full }

func (e withErrors) Corrupt(key string) error       { e.Store.Corrupt(key); return nil }
func (e withErrors) Raw(key string) ([]byte, error) { return e.Store.Raw(key), nil }
func (e withErrors) Advance(d time.Duration) error  { e.Store.Advance(d); return nil }
func (e withErrors) Fail(n int) error               { e.Store.Fail(n); return nil }

type ofAnotherShape struct{ full }

func (ofAnotherShape) Fail(n int, why string) {}

func TestTheMethodsOfAnEnvAreFoundInEveryShape(t *testing.T) {
	for _, e := range []Env{full{reference.New()}, withT{full{reference.New()}}, withErrors{full{reference.New()}}} {
		c := &trial{ctx: t.Context()}
		if k := toolsOf(c, e); k.corrupt == nil || k.raw == nil || k.advance == nil || k.fail == nil {
			t.Errorf("%T: something is passed over", e)
		}
	}
	report, err := Check(t.Context(), Harness{New: func(T) Env { return ofAnotherShape{full{reference.New()}} }, Want: everything})
	if err == nil || !strings.Contains(report.Cases[0].Detail, "a method Fail that the suite can't call") {
		t.Errorf("an Env whose Fail has another shape: %v", report.Cases[0])
	}
}

func TestTheHarnessCanUseItsTAndItsMessagesAreReported(t *testing.T) {
	closed := 0
	report, err := Check(t.Context(), Harness{Name: "mine", Want: Capabilities{}, New: func(t T) Env {
		dir := t.TempDir()
		if dir == "" || t.Name() == "" || t.Context().Err() != nil {
			t.Errorf("TempDir %q, Name %q", dir, t.Name())
		}
		t.Helper()
		t.Cleanup(func() { closed++ })
		t.Logf("a log line")
		t.Fatalf("no store for %s", t.Name())
		return nil
	}})
	if err == nil || report.Backend != "mine" || closed == 0 {
		t.Errorf("%v, backend %q, closed %d", err, report.Backend, closed)
	}
	if c := report.Cases[0]; c.Outcome != Failed || !strings.Contains(c.Detail, "no store for "+c.Name) || !strings.Contains(c.Detail, "a log line") {
		t.Errorf("%+v", c)
	}
}

func TestEveryCaseHasABackendToCatch(t *testing.T) {
	cases := map[string]int{}
	for _, g := range suite() {
		for _, k := range g.cases {
			name := g.name + "/" + k.name
			if _, twice := cases[name]; twice {
				t.Errorf("two cases are called %s", name)
			}
			cases[name] = 0
			if want := "conformance/"; !strings.HasPrefix(k.must.source, want) {
				t.Errorf("%s stands at %s", name, k.must.source)
			}
		}
	}
	for _, m := range mutants {
		cases[m.by]++
	}
	for name, caught := range cases {
		if caught == 0 {
			t.Errorf("no broken backend shows that %s can fail", name)
		}
	}
}

func FuzzModel(f *testing.F) {
	Fuzz(f, Harness{New: func(T) Env { return full{reference.New()} }, Want: everything})
}

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/stores"
)

type conformanceCommand struct {
	JSON    bool          `name:"json" env:"-" help:"As JSON."`
	Timeout time.Duration `env:"-" default:"20s" help:"How long one case may take."`
}

// Help is what kong shows below the command's first line.
func (conformanceCommand) Help() string {
	return `Every case has a namespace of its own, which is removed, also after Ctrl-C. A kill leaves what has graphtoken-conformance in its name. Exit code 1: the store doesn't conform; 5: it can't be saved to, and the suite isn't run.`
}

// errNonconforming is the error of a suite in which cases failed. The report has named
// them.
var errNonconforming = errors.New("the store does not conform")

func (cmd *conformanceCommand) Run(ctx context.Context, s *session, c *console) error {
	at, err := s.place(ctx)
	if err != nil {
		return err
	}
	defer at.Close()
	trials := &trials{place: at}
	claims, err := trials.begin(ctx)
	if err != nil {
		_ = trials.end() // as a rule there is nothing, and the store isn't fit to be asked
		return at.about(err)
	}
	shown := &caseLine{w: c.err, updates: isTerminal(c.err)}
	report, err := conformance.Check(ctx, conformance.Harness{
		Name:     at.Kind,
		Timeout:  cmd.Timeout,
		Want:     claims,
		New:      trials.next,
		Progress: shown.show,
	})
	shown.end()
	left := trials.end()
	if ctx.Err() != nil {
		return errors.Join(err, left)
	}
	if cmd.JSON {
		err = writeJSON(c.out, report)
	} else {
		err = printReport(c.out, report)
	}
	if left != nil {
		c.say("The suite could not remove all that it stored: %v", left)
	}
	if err == nil && count(report, conformance.Failed) > 0 {
		err = errNonconforming
	}
	return err
}

// caseLine shows which case is tried: on a terminal in one line that changes, elsewhere in
// a line for each.
type caseLine struct {
	w       io.Writer
	updates bool
}

func (l *caseLine) show(name string, number, all int) {
	text := fmt.Sprintf("%d of %d: %s", number, all, name)
	if l.updates {
		fmt.Fprint(l.w, "\r\x1b[K"+text)
		return
	}
	fmt.Fprintln(l.w, text)
}

// end leaves no line on a terminal.
func (l *caseLine) end() {
	if l.updates {
		fmt.Fprint(l.w, "\r\x1b[K")
	}
}

// trials are the parts of a store that the cases had. They are removed with their cases, and
// those of cases that were interrupted, or left behind, at the end.
type trials struct {
	place

	mu   sync.Mutex
	open []*trial
	left []error // what could not be removed
}

// begin finds out what the store's backend claims, and whether the suite can save records:
// a hundred cases would fail for that one reason.
func (ts *trials) begin(ctx context.Context) (conformance.Capabilities, error) {
	claims := ts.claims()
	if ts.ReadOnly {
		return claims, &core.Error{Op: "save", Backend: ts.Kind, Key: ts.Key, Err: fmt.Errorf("%w: a variable ends with its process; the suite can try env://%s?file=.env", core.ErrReadOnly, ts.Key)}
	}
	t := ts.add()
	at, err := t.open(ctx)
	if err != nil {
		return claims, err
	}
	// The limit may depend on the length of the trial's name, which is always the same.
	if limiter, ok := core.As[core.SizeLimiter](at.Backend); ok {
		claims.MaxSize = limiter.MaxSize()
	}
	if _, err := at.Backend.Save(ctx, forCalls, core.Record{Data: trialData(1), Version: core.AnyVersion}); err != nil {
		return claims, fmt.Errorf("the suite is not run, because the store can't be saved to: %w", err)
	}
	return claims, t.remove()
}

func (ts *trials) add() *trial {
	t := &trial{place: ts.place, name: trialName()}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.open = append(ts.open, t)
	return t
}

// next is the trial of the next case.
func (ts *trials) next(t conformance.T) conformance.Env {
	next := ts.add()
	t.Cleanup(func() { ts.remove(next) })
	return next
}

func (ts *trials) remove(t *trial) {
	err := t.remove()
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if err != nil {
		ts.left = append(ts.left, err)
	}
	ts.open = slices.DeleteFunc(ts.open, func(other *trial) bool { return other == t })
}

// end removes what is left of all trials.
func (ts *trials) end() error {
	ts.mu.Lock()
	open := slices.Clone(ts.open)
	ts.mu.Unlock()
	for _, t := range open {
		ts.remove(t)
	}
	return errors.Join(ts.left...)
}

func trialName() string { return strings.ToLower(rand.Text()[:16]) }

// trial is a part of a store that nobody else uses.
type trial struct {
	place
	name string

	mu      sync.Mutex
	opened  []*stores.Place
	removed bool
}

// open opens one more handle.
func (t *trial) open(ctx context.Context) (*stores.Place, error) {
	at, err := t.openTrial(ctx, "conformance", t.name)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened = append(t.opened, at)
	return at, nil
}

// Open implements [conformance.Env].
func (t *trial) Open(ct conformance.T) core.TokenBackend {
	at, err := t.open(context.Background())
	if err != nil {
		ct.Fatalf("%v", err)
	}
	return at.Backend
}

// remove removes what the trial stored, and closes it.
func (t *trial) remove() error {
	ctx, cancel := context.WithTimeout(context.Background(), trialTimeout)
	defer cancel()
	at, err := t.open(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.removed {
		return at.Close()
	}
	t.removed = true
	errs := []error{at.RemoveAll(ctx)}
	for _, one := range t.opened {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

func count(r conformance.Report, o conformance.Outcome) (n int) {
	for _, c := range r.Cases {
		if c.Outcome == o {
			n++
		}
	}
	return n
}

func printReport(w io.Writer, r conformance.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "CASE\tOUTCOME\tREQUIREMENT")
	for _, c := range r.Cases {
		fmt.Fprintf(t, "%s\t%s\t%s\n", c.Name, c.Outcome, c.Requirement)
		for line := range strings.Lines(strings.TrimSpace(c.Detail)) {
			fmt.Fprintf(t, "\t\t  %s\n", printable(line))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s, suite %s: %d passed, %d failed, %d skipped\n", r.Backend, r.Version,
		count(r, conformance.Passed), count(r, conformance.Failed), count(r, conformance.Skipped))
	for _, p := range r.Profiles {
		holds := "holds"
		if !p.Holds {
			holds = "does not hold: " + printable(p.Detail)
		}
		fmt.Fprintf(w, "profile %s %s\n", p.Name, holds)
	}
	return nil
}

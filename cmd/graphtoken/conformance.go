package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
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

// errNonconforming is the error of a suite in which cases failed. The report has named
// them.
var errNonconforming = errors.New("the store does not conform")

func (cmd *conformanceCommand) Run(ctx context.Context, s *session, c *console) error {
	at, err := s.place(ctx)
	if err != nil {
		return err
	}
	defer at.Close()
	claims := at.claims()
	// The limit may depend on the length of the trial's name, which is always the same.
	one, err := at.openTrial(ctx, "conformance", trialName())
	if err != nil {
		return err
	}
	if limiter, ok := core.As[core.SizeLimiter](one.Backend); ok {
		claims.MaxSize = limiter.MaxSize()
	}
	if err := one.Close(); err != nil {
		return err
	}
	var leftovers []error
	report, err := conformance.Check(ctx, conformance.Harness{
		Name:    at.Kind,
		Timeout: cmd.Timeout,
		Want:    claims,
		New: func(t conformance.T) conformance.Env {
			trial := &trial{place: at, name: trialName()}
			t.Cleanup(func() {
				if err := trial.remove(); err != nil {
					leftovers = append(leftovers, err)
				}
			})
			return trial
		},
	})
	if ctx.Err() != nil {
		return err
	}
	if cmd.JSON {
		err = writeJSON(c.out, report)
	} else {
		err = printReport(c.out, report)
	}
	if left := errors.Join(leftovers...); left != nil {
		c.say("The suite could not remove all that it stored: %v", left)
	}
	if err == nil && count(report, conformance.Failed) > 0 {
		err = errNonconforming
	}
	return err
}

func trialName() string { return strings.ToLower(rand.Text()[:16]) }

// trial is a part of a store that nobody else uses.
type trial struct {
	place
	name string

	mu     sync.Mutex
	opened []*stores.Place
}

// Open implements [conformance.Env].
func (t *trial) Open(ct conformance.T) core.TokenBackend {
	at, err := t.openTrial(context.Background(), "conformance", t.name)
	if err != nil {
		ct.Fatalf("%v", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.opened = append(t.opened, at)
	return at.Backend
}

// remove removes what the trial stored, and closes it.
func (t *trial) remove() error {
	at, err := t.openTrial(context.Background(), "conformance", t.name)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	errs := []error{at.RemoveAll(context.Background())}
	for _, one := range append(t.opened, at) {
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

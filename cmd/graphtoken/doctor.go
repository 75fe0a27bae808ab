package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/stores"
)

type doctorCommand struct {
	URL  string `arg:"" optional:"" help:"The store; --store by default."`
	JSON bool   `name:"json" env:"-" help:"As JSON."`
}

// Help is what kong shows below the command's first line.
func (doctorCommand) Help() string {
	return `Writes are tried in a namespace of their own, which is removed, also after an interrupt. Exit code 0: nothing is wrong; 1: something is risky; 5: something is wrong, so that tokens can be lost, stolen or not be read.`
}

// check is one subject that the doctor looks at.
type check struct {
	name string
	asks use
	look func(*checkup, context.Context) []finding
}

// use is what a check does with the store.
type use int

const (
	offline use = iota
	asks        // the check is left out once the store is known to be out of reach
	tries       // it also stores something, so an interrupt waits for its end
)

// checks are all checks, in the order in which they are made and told. A check that
// doesn't apply to a store finds nothing.
var checks = []check{
	{"directory", offline, (*checkup).directory},
	{"file", offline, (*checkup).files},
	{"file system", offline, (*checkup).fileSystem},
	{"disk space", offline, (*checkup).diskSpace},
	{"keys", offline, (*checkup).keys},
	{"secrets", offline, (*checkup).secretFiles},
	{"reach", offline, (*checkup).reach},
	{"eviction", asks, (*checkup).eviction},
	{"persistence", asks, (*checkup).persistence},
	{"space", offline, (*checkup).space},
	{"permissions", tries, (*checkup).permissions},
	{"conditions", tries, (*checkup).conditions},
	{"leases", tries, (*checkup).leases},
	{"store's clock", tries, (*checkup).storeClock},
	{"records", asks, (*checkup).storedRecords},
	{"provider", offline, (*checkup).provider},
}

// The severities of findings.
const (
	fine    = "ok"
	warning = "warning"
	wrong   = "error"
)

// finding is what one check found, and what to do about it.
type finding struct {
	Check    string `json:"check"`
	Severity string `json:"severity"`
	Fact     string `json:"fact"`
	Advice   string `json:"advice,omitempty"`
}

// good is a finding that needs nothing to be done.
func good(fact string, args ...any) finding { return found(fine, "", fact, args) }

// risky is a finding about what can do harm some day.
func risky(advice, fact string, args ...any) finding { return found(warning, advice, fact, args) }

// bad is a finding about what does harm, or may do so in the next moment.
func bad(advice, fact string, args ...any) finding { return found(wrong, advice, fact, args) }

func found(severity, advice, fact string, args []any) finding {
	for i, a := range args {
		switch a := a.(type) {
		case string:
			args[i] = printable(a)
		case error:
			args[i] = explain(a)
		}
	}
	return finding{Severity: severity, Fact: fmt.Sprintf(fact, args...), Advice: advice}
}

// of gives the finding another name than that of its check.
func (f finding) of(check string) finding {
	f.Check = check
	return f
}

// checkup examines one store.
type checkup struct {
	*session
	place
	isArgument bool // the store is, and no flag names it
	now        time.Time
	roomAt     func(path string) (room, bool) // see roomAt

	pinged *error // the result of Ping, once it is known; if Backend is nil, why the store can't be opened
	trial  *trialPlace

	providers []asked // of the users of the records that were read
	allRead   bool    // every record was
}

// trialTimeout limits each check that stores something, and the removal of what was stored,
// for which an interrupt waits.
const trialTimeout = 30 * time.Second

// examine makes the checks. It ends early, without findings, if ctx does.
func (d *checkup) examine(ctx context.Context) (all []finding, err error) {
	for _, c := range checks {
		if ctx.Err() != nil {
			break
		}
		if c.asks != offline && !d.isReachable(ctx) {
			continue
		}
		for _, f := range d.look(ctx, c) {
			all = append(all, f.of(cmp.Or(f.Check, c.name)))
		}
	}
	if err := d.endTrial(ctx); err != nil {
		left := risky("Remove by hand what has graphtoken-doctor in its name, and give this user the right to delete.", "the trial's records could not all be removed: %v", err)
		all = append(all, left.of("permissions"))
	}
	return all, ctx.Err()
}

// look makes one check.
func (d *checkup) look(ctx context.Context, c check) []finding {
	if c.asks == tries {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), trialTimeout)
		defer cancel()
	}
	return c.look(d, ctx)
}

func (cmd *doctorCommand) Run(ctx context.Context, s *session, c *console) error {
	flag, url := "URL", cmd.URL
	if url != "" && s.given["store"] {
		return usageError("name the store by --store or as the argument, not by both")
	}
	if url == "" {
		name, err := s.storeName()
		if err != nil {
			return err
		}
		flag, url = "--store", name
	}
	d := &checkup{session: s, isArgument: cmd.URL != "", now: time.Now(), roomAt: roomAt}
	at, err := openStore(ctx, flag, url, stores.Options{Record: s.Record}, allRecords)
	name := redact(url)
	switch {
	case errors.As(err, new(usageError)):
		return err
	case err != nil:
		d.place, d.pinged = place{&stores.Place{Kind: kindOf(url)}, url}, &err
	default:
		defer at.Close()
		d.place, name = at, at.String()
	}
	findings, err := d.examine(ctx)
	if err != nil {
		return err
	}
	if cmd.JSON {
		err = writeJSON(c.out, map[string]any{"store": name, "findings": findings})
	} else {
		err = printFindings(c, findings)
	}
	return errors.Join(err, severityOf(findings))
}

func printFindings(c *console, findings []finding) error {
	for _, f := range findings {
		text := fmt.Sprintf("%-8s%s: %s\n", f.Severity, f.Check, f.Fact)
		if f.Advice != "" {
			text += "        → " + f.Advice + "\n"
		}
		if _, err := fmt.Fprint(c.out, text); err != nil {
			return err
		}
	}
	return nil
}

// severityError is the error of a doctor that found something.
type severityError struct{ wrong, warnings int }

func (e *severityError) Error() string {
	return fmt.Sprintf("found %s and %s", plural(e.wrong, "error"), plural(e.warnings, "warning"))
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

// severityOf is a severityError, or nil if nothing is wrong or risky.
func severityOf(findings []finding) error {
	e := &severityError{}
	for _, f := range findings {
		switch f.Severity {
		case wrong:
			e.wrong++
		case warning:
			e.warnings++
		}
	}
	if e.wrong+e.warnings == 0 {
		return nil
	}
	return e
}

package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/stores"
)

// trialPlace is a part of the store that nobody else uses, opened twice, as two processes
// would have it.
type trialPlace struct {
	pair         [2]*stores.Place
	saved, lists bool // a record could be saved, and the records can be listed
}

// The records of a trial. Each check has one of its own: some services need seconds to
// forget a record or a lease that was deleted.
const (
	forCalls      = "calls"
	forConditions = "conditions"
	forLeases     = "leases"
	forClock      = "clock"
)

// tried is the trial, if records can be saved there.
func (d *checkup) tried() (one, two core.TokenBackend, ok bool) {
	if d.trial == nil || !d.trial.saved {
		return nil, nil, false
	}
	return d.trial.pair[0].Backend, d.trial.pair[1].Backend, true
}

func (d *checkup) beginTrial(ctx context.Context) error {
	t, name := &trialPlace{}, trialName()
	for i := range t.pair {
		var err error
		if t.pair[i], err = d.openTrial(ctx, "doctor", name); err != nil {
			if i > 0 {
				_ = t.pair[0].Close()
			}
			return err
		}
	}
	d.trial = t
	return nil
}

// endTrial removes what the trial stored, also after an interrupt, and closes it.
func (d *checkup) endTrial(ctx context.Context) (err error) {
	if d.trial == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), trialTimeout)
	defer cancel()
	first := d.trial.pair[0]
	switch {
	case d.trial.lists || d.Kind == "file":
		err = first.RemoveAll(ctx)
	case d.trial.saved: // otherwise there is nothing
		for _, key := range []string{forCalls, forConditions, forClock} {
			err = errors.Join(err, first.Backend.Delete(ctx, key))
		}
	}
	for _, p := range d.trial.pair {
		err = errors.Join(err, p.Close())
	}
	return err
}

// permissions tries each call that programs make.
func (d *checkup) permissions(ctx context.Context) []finding {
	if d.ReadOnly {
		return []finding{risky("Use env://NAME?file=.env, or another store, so that a refreshed token outlasts the process.", "a variable can't be saved to: it ends with its process")}
	}
	if err := d.beginTrial(ctx); err != nil {
		return []finding{bad("Give this user the right to write there.", "%v", err)}
	}
	t := &calls{TokenBackend: d.trial.pair[0].Backend, trial: d.trial}
	t.make(ctx)
	if t.refused == nil {
		return []finding{good("load, check, save, delete, lease and list are allowed")}
	}
	return t.refused
}

// calls makes each call once, and notes those that the store refuses.
type calls struct {
	core.TokenBackend
	trial   *trialPlace
	refused []finding
}

// allows notes err, if it is one, as the refusal of a call.
func (t *calls) allows(call, right string, err error) bool {
	if err != nil {
		t.refused = append(t.refused, bad("Give this user the right to "+right+"; the store's README lists what is needed.", "%s is refused: %v", call, err))
	}
	return err == nil
}

func (t *calls) make(ctx context.Context) {
	_, err := t.Load(ctx, forCalls)
	if errors.Is(err, core.ErrNotFound) {
		err = nil
	}
	t.allows("load", "read records", err)
	_, err = t.Check(ctx, forCalls)
	t.allows("check", "read records", err)
	_, err = t.Save(ctx, forCalls, core.Record{Data: trialData(1), Version: core.Absent})
	t.trial.saved = t.allows("save", "write records", err)
	t.list(ctx)
	t.lease(ctx)
	t.allows("delete", "delete records: graphtoken logout needs it", t.Delete(ctx, forCalls))
}

// list notes a refusal as risky alone: programs need no list.
func (t *calls) list(ctx context.Context) {
	lister, ok := core.As[core.Lister](t.TokenBackend)
	if !ok {
		return
	}
	for _, err := range lister.Keys(ctx) {
		if err != nil {
			t.refused = append(t.refused, risky("Give this user the right to list records, or name each record by #NAME: keepalive, purge, list and copy of a whole store need it.", "list is refused: %v", err))
			return
		}
	}
	t.trial.lists = true
}

func (t *calls) lease(ctx context.Context) {
	leaser, ok := core.As[core.Leaser](t.TokenBackend)
	if !ok {
		return
	}
	held, err := leaser.Acquire(ctx, forCalls, trialLease)
	if err == nil {
		err = held.Renew(ctx, trialLease)
		err = errors.Join(err, held.Release(ctx))
	}
	t.allows("lease", "write and delete leases", err)
}

// trialLease is how long the trial's leases last if nothing releases them.
const trialLease = 10 * time.Second

func trialData(n int) []byte { return fmt.Appendf(nil, `{"AccessToken":{},"doctor":%d}`, n) }

// conditions tries that a save needs the version that is stored.
func (d *checkup) conditions(ctx context.Context) []finding {
	one, two, ok := d.tried()
	if !ok {
		return nil
	}
	t := &writing{one, two, d.claims().CAS == conformance.CASEnforced}
	err := t.conditions(ctx)
	switch {
	case errors.Is(err, errUnconditional):
		return []finding{bad("Don't let two processes use this store: one would overwrite the other's tokens. Use a service that honours conditions; docs/choosing-a-store.md lists some.", "%v", err)}
	case err != nil:
		return []finding{bad("Give this user the right to read, write and delete there.", "%v", err)}
	case !t.enforces:
		return []finding{risky("Let one process write to it, or choose another store for several: docs/choosing-a-store.md.", "the store compares versions before it writes, not while it writes: of two processes that save at the same time, the last one wins")}
	}
	return []finding{good("of several writers at the same time, one succeeds")}
}

// writing tries one store by two handles.
type writing struct {
	one, two core.TokenBackend
	enforces bool // of racing writers, exactly one succeeds
}

var errUnconditional = errors.New("writes are not conditional")

func (t *writing) conditions(ctx context.Context) error {
	first, err := t.one.Save(ctx, forConditions, core.Record{Data: trialData(1), Version: core.Absent})
	if err != nil {
		return err
	}
	if _, err := t.two.Save(ctx, forConditions, core.Record{Data: trialData(2), Version: core.Absent}); !errors.Is(err, core.ErrConflict) {
		return unconditional(err, "a record that was there was created again")
	}
	if _, err := t.two.Save(ctx, forConditions, core.Record{Data: trialData(3), Version: first}); err != nil {
		return err
	}
	if _, err := t.one.Save(ctx, forConditions, core.Record{Data: trialData(4), Version: first}); !errors.Is(err, core.ErrConflict) {
		return unconditional(err, "a newer record was overwritten")
	}
	rec, err := t.one.Load(ctx, forConditions)
	if err != nil {
		return err
	}
	if string(rec.Data) != string(trialData(3)) {
		return errReadBack
	}
	if t.enforces {
		if err := t.race(ctx, rec.Version); err != nil {
			return err
		}
	}
	if err := t.one.Delete(ctx, forConditions); err != nil {
		return err
	}
	if _, err := t.two.Load(ctx, forConditions); !errors.Is(err, core.ErrNotFound) {
		return fmt.Errorf("a record was deleted, and is still there: %w", errReadBack)
	}
	return nil
}

// race lets several writers replace the same version.
func (t *writing) race(ctx context.Context, version core.Version) error {
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for i := range errs {
		by := t.one
		if i%2 == 1 {
			by = t.two
		}
		wg.Go(func() {
			_, errs[i] = by.Save(ctx, forConditions, core.Record{Data: trialData(10 + i), Version: version})
		})
	}
	wg.Wait()
	succeeded := 0
	for _, err := range errs {
		if err == nil {
			succeeded++
		} else if !errors.Is(err, core.ErrConflict) {
			return err
		}
	}
	if succeeded != 1 {
		return fmt.Errorf("%w: of %d writers at the same time, %d succeeded", errUnconditional, len(errs), succeeded)
	}
	return nil
}

func unconditional(err error, fact string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errUnconditional, fact)
}

// leases tries that one process at a time gets a lease.
func (d *checkup) leases(ctx context.Context) []finding {
	one, two, ok := d.tried()
	if !ok {
		return nil
	}
	first, has := core.As[core.Leaser](one)
	second, also := core.As[core.Leaser](two)
	if !has || !also {
		return nil
	}
	if err := exclusive(ctx, first, second); err != nil {
		return []finding{bad("Give this user the rights that leases need; the store's README lists them.", "%v", err)}
	}
	return []finding{good("one process at a time gets a lease")}
}

func exclusive(ctx context.Context, one, two core.Leaser) error {
	held, err := one.Acquire(ctx, forLeases, trialLease)
	if err != nil {
		return err
	}
	second, err := two.Acquire(ctx, forLeases, trialLease)
	switch {
	case err == nil:
		_ = second.Release(ctx)
		err = errors.New("two processes can have the same lease: each would refresh the token")
	case errors.Is(err, core.ErrLeaseHeld):
		err = nil
	}
	return errors.Join(err, held.Release(ctx))
}

package main

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// How far two clocks may differ.
const (
	skewed    = 30 * time.Second // about the length of a lease
	farSkewed = 5 * time.Minute  // what tokens' times allow for
)

const setClock = "Set the clock that is wrong, this machine's if both the store's and the provider's differ from it: timedatectl set-ntp true, or what the system has for that."

// compareClocks tells how far this machine's clock is ahead of another one, which showed there
// at some moment between sent and received. Many clocks are told in whole seconds.
func compareClocks(whose, harm string, sent, received, there time.Time) finding {
	ahead := sent.Add(received.Sub(sent) / 2).Sub(there)
	word := "ahead of"
	if ahead < 0 {
		word = "behind"
	}
	off := ahead.Abs().Round(time.Second)
	switch {
	case off > farSkewed:
		return bad(setClock, "this machine's clock is %s %s %s: %s", off, word, whose, harm)
	case off > skewed:
		return risky(setClock, "this machine's clock is %s %s %s", off, word, whose)
	}
	return good("this machine's clock agrees with %s", whose)
}

// storeClock compares with the time that the store gives a record: for a file on another
// machine, for a row, for an object.
func (d *checkup) storeClock(ctx context.Context) []finding {
	one, _, ok := d.tried()
	if !ok {
		return nil
	}
	const advice = "Give this user the right to read and write there."
	sent := time.Now()
	_, err := one.Save(ctx, forClock, core.Record{Data: trialData(1), Version: core.Absent})
	received := time.Now()
	if err != nil {
		return []finding{bad(advice, "%v", err)}
	}
	rec, err := one.Load(ctx, forClock)
	if err := errors.Join(err, one.Delete(ctx, forClock)); err != nil {
		return []finding{bad(advice, "%v", err)}
	}
	if rec.Modified.IsZero() {
		return nil // the store has no clock
	}
	return []finding{compareClocks("the store's", "leases end too early or too late, so that two processes may refresh one token", sent, received, rec.Modified)}
}

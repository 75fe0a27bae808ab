package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// request is a process's call of the store or the provider, as the history shows it.
type request struct {
	op, key string
	detail  string  // tells apart calls that begin at the same time
	odds    float64 // of a fault, while things go wrong
	slowest time.Duration
}

// call is a request together with its effect.
type call[T any] struct {
	request
	// effect is what the store or the provider does with the request, at one moment. Its
	// note goes into the history.
	effect func() (answer T, note string, err error)
	// failed makes the error of a call that failed.
	failed func(cause error) error
}

// fate is what happens to a call.
type fate struct {
	there, back time.Duration // how long the request takes, and the answer
	fault       callFault
	late        bool          // the request arrives, although no caller waits for the answer any more
	strikes     time.Duration // when the process dies or freezes, counted from the start of the call
	asleep      time.Duration // how long the process freezes then; zero if it doesn't
	dies        bool          // the process dies then
}

type callFault uint8

const (
	none    callFault = iota
	refused           // the call fails before its effect
	lost              // the call has its effect, and its answer is lost
	slow              // the call takes long
	stuck             // the call is never answered
)

var faultNames = [...]string{"", "fails before its effect", "has its effect, its answer is lost", "is slow", "is never answered"}

var (
	errDead   = errors.New("the process is dead")
	errOutage = errors.New("connection reset by peer")
)

// fateOf draws what happens to a call. The result depends on the seed, the process, the call
// and the moment, and on nothing else.
func (p *process) fateOf(c request) fate {
	run := p.run
	r := run.seed.draw("call", p.name, c.op, c.key, c.detail, text(run.since()))
	f := fate{
		there: between(r, time.Microsecond, c.slowest/2),
		back:  between(r, time.Microsecond, c.slowest/2),
		late:  r.IntN(2) == 0,
	}
	if !run.conditions.troubled(run.since()) && !run.mutant.NeverRecovers {
		return f
	}
	f.mishap(&run.conditions, r, run.since())
	if r.Float64() >= c.odds {
		return f
	}
	f.fault = run.conditions.faults[r.IntN(len(run.conditions.faults))]
	switch f.fault {
	case slow:
		f.there += between(r, 0, 10*time.Second)
		f.back += between(r, 0, 10*time.Second)
	case stuck:
		f.back += between(r, 20*time.Second, 2*time.Minute)
	}
	return f
}

// mishap draws whether the process dies or freezes in the middle of the call. Most faults show
// only there.
func (f *fate) mishap(c *conditions, r *rand.Rand, now time.Duration) {
	if r.Float64() >= c.mishaps {
		return
	}
	f.strikes = between(r, 0, f.there+f.back)
	if f.dies = c.kills && r.IntN(2) == 0; !f.dies && c.freezes {
		f.asleep = c.sleep(r, now)
	}
}

// strike lets the process die or freeze, if that was drawn.
func (f *fate) strike(p *process) {
	if !f.dies && f.asleep == 0 {
		return
	}
	wait := p.run.untilFree(f.strikes)
	p.run.late.Go(func() {
		time.Sleep(wait)
		if f.dies {
			p.replace()
		} else if !p.dead() {
			p.freezeFor(f.asleep)
		}
	})
}

// do makes a call. If the process is frozen, it waits before it sends the request, and before
// it sees the answer.
func (c call[T]) do(ctx context.Context, p *process) (answer T, err error) {
	purpose := []string{p.name, c.op, c.key, c.detail}
	p.awake(append(purpose, "send")...)
	answer, err = c.attempt(ctx, p)
	p.awake(append(purpose, "receive")...)
	if p.dead() {
		err = errDead
	}
	if err != nil {
		var nothing T
		return nothing, err
	}
	return answer, nil
}

func (c call[T]) attempt(ctx context.Context, p *process) (answer T, err error) {
	if p.dead() {
		return answer, errDead
	}
	if p.run.isOver() {
		p.run.violated(quietEnd, p.name, c.op, c.key)
		return answer, core.ErrLeaseLost // this error ends a renewal that still runs
	}
	if err := ctx.Err(); err != nil {
		return answer, c.failed(err)
	}
	f, sent := p.fateOf(c.request), time.Now()
	f.strike(p)
	if f.fault != none {
		p.run.history.note(p.name, c.op, c.key, c.detail, faultNames[f.fault])
	}
	blame := func() {
		if f.fault != none {
			p.suffer(fault, time.Since(sent), 0)
		}
	}
	defer blame()
	p.pause(ctx, f.there)
	if left := ctx.Err() != nil || p.dead(); left {
		if f.late && f.fault != refused {
			c.arriveLate(p, f.there-time.Since(sent))
		}
		return answer, c.failed(ctx.Err())
	}
	if f.fault == refused {
		return answer, c.failed(errOutage)
	}
	blame() // before the effect, because the checks of the effect look for a fault
	answer, err = c.arrive(p)
	p.pause(ctx, f.back)
	switch {
	case p.dead():
		return answer, errDead
	case ctx.Err() != nil:
		return answer, c.failed(ctx.Err())
	case f.fault == lost || f.fault == stuck:
		return answer, c.failed(errOutage)
	}
	return answer, err
}

func (c call[T]) arrive(p *process, remarks ...string) (T, error) {
	answer, note, err := c.effect()
	p.run.history.note(p.name, append([]string{c.op, c.key, note, outcome(err)}, remarks...)...)
	return answer, err
}

// arriveLate lets a request have its effect although no caller waits for it any more.
func (c call[T]) arriveLate(p *process, after time.Duration) {
	after = p.run.untilFree(max(after, time.Nanosecond))
	p.run.late.Go(func() {
		time.Sleep(after)
		_, _ = c.arrive(p, "(nobody waits for the answer)")
	})
}

func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	return fmt.Sprint("→ ", err)
}

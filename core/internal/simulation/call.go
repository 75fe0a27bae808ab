package simulation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// request is what the history tells of a call of a process to the store or the provider.
type request struct {
	op, key string
	detail  string  // tells calls of one moment apart
	odds    float64 // of a fault, while things go wrong
	slowest time.Duration
}

// call is a request, and what comes of it.
type call[T any] struct {
	request
	// effect is what the call does where it arrives, in one moment. Its note goes into
	// the history.
	effect func() (answer T, note string, err error)
	// failed makes the error of a call that failed.
	failed func(cause error) error
}

// fate is what becomes of a call.
type fate struct {
	there, back time.Duration // how long the request takes, and the answer
	fault       callFault
	late        bool          // the request arrives although nobody waits for the answer any more
	strikes     time.Duration // when something befalls the process, from the start of the call
	asleep      time.Duration // how long the process freezes then; zero for not
	dies        bool          // the process dies then
}

type callFault uint8

const (
	none    callFault = iota
	refused           // it fails before its effect
	lost              // its effect happens, its answer is lost
	slow              // it takes long
	stuck             // it is never answered
)

var faultNames = [...]string{"", "fails before its effect", "has its effect, its answer is lost", "is slow", "is never answered"}

var (
	errDead   = errors.New("the process is dead")
	errOutage = errors.New("connection reset by peer")
)

// fateOf draws what becomes of a call: a function of the seed, the process, the
// call and the moment.
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

// mishap draws what befalls the process in the middle of the call: most of what can go
// wrong goes wrong there.
func (f *fate) mishap(c *conditions, r *rand.Rand, now time.Duration) {
	if r.Float64() >= c.mishaps {
		return
	}
	f.strikes = between(r, 0, f.there+f.back)
	if f.dies = c.kills && r.IntN(2) == 0; !f.dies && c.freezes {
		f.asleep = c.sleep(r, now)
	}
}

// strike has it happen.
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

// do makes a call: the process is held up while it is frozen, before the request is
// sent and before the answer is seen.
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
		return answer, core.ErrLeaseLost // which ends whatever renews
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
	blame() // before its effect, which may have to be explained
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

// arriveLate lets a request have its effect that nobody waits for any more.
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

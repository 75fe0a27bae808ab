package simulation

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// mishap is a process that dies, freezes or has its clock set.
type mishap struct {
	at     time.Duration
	happen func()
}

// trouble lets all mishaps of the conditions happen, one after the other.
func (r *run) trouble() {
	for _, m := range r.mishaps() {
		if wait := m.at - r.since(); wait > 0 {
			time.Sleep(r.untilFree(wait))
			m.happen()
		}
	}
}

func (r *run) mishaps() []mishap {
	var all []mishap
	c := &r.conditions
	for i, t := range c.troubles {
		draw := r.seed.draw("mishaps", strconv.Itoa(i))
		for range 1 + draw.IntN(6) {
			at := t.from + time.Duration(draw.Int64N(int64(t.to-t.from)+1))
			index := draw.IntN(c.processes)
			asleep := r.conditions.sleep(draw, at)
			step := time.Duration(draw.Int64N(int64(6*time.Hour))) - 3*time.Hour
			if draw.IntN(2) == 0 {
				step /= 60
			}
			switch kind := draw.IntN(3); {
			case kind == 0 && c.kills:
				all = append(all, mishap{at, func() { r.living(index).replace() }})
			case kind != 1 && c.freezes:
				all = append(all, mishap{at, func() { r.living(index).freezeFor(asleep) }})
			case c.clockSteps:
				all = append(all, mishap{at, func() { r.living(index).setClock(step) }})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b mishap) int { return cmp.Compare(a.at, b.at) })
	return all
}

// sleep draws how long a process freezes, until the trouble is over at the longest: a
// moment, about a lease, or very long.
func (c *conditions) sleep(draw *rand.Rand, at time.Duration) time.Duration {
	longest := []time.Duration{10 * time.Second, 2 * c.leaseTTL, 2 * c.leaseTTL, c.lifetime}[draw.IntN(4)]
	for _, t := range c.troubles {
		if t.has(at) {
			longest = min(longest, t.to-at)
		}
	}
	return time.Duration(draw.Int64N(int64(longest) + 1))
}

// replace kills a process, and starts another.
func (p *process) replace() {
	if p.kill() {
		p.run.start(p.index, p.life+1).callToLife()
	}
}

// setClock sets the process's clock.
func (p *process) setClock(step time.Duration) {
	p.offset.Add(int64(step))
	p.run.history.note(p.name, "has its clock set by", step.String())
}

// calm reports whether nothing goes wrong in the run.
func (c *conditions) calm() bool {
	return c.storeFaults == 0 && c.providerFaults == 0 && !c.kills && !c.freezes && !c.clockSteps
}

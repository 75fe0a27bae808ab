package simulation

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// process is one process that shares the records: it has a core.Store and a clock of its own,
// and callers. A process that dies is replaced by another.
type process struct {
	run    *run
	index  int
	life   int    // how many processes had this index before
	name   string // "p3"; "p3'2" is the second process in its place
	store  atomic.Pointer[core.Store]
	offset atomic.Int64 // of its clock, in nanoseconds
	died   chan struct{}

	mu       sync.Mutex
	thaws    time.Time // the process is frozen until then
	troubles []trouble
}

// trouble is a fault, a freeze or the death of a process. It may explain what the process did.
type trouble struct {
	kind troubleKind
	span
}

type troubleKind uint8

const (
	fault  troubleKind = iota // a call failed, or took too long
	freeze                    // the process stood still
	death                     // the process was killed
)

func (r *run) newProcess(index, life int) *process {
	p := &process{run: r, index: index, life: life, name: "p" + strconv.Itoa(index), died: make(chan struct{})}
	if life > 0 {
		p.name += "'" + strconv.Itoa(life)
	}
	p.open()
	return p
}

// open gives the process a new store, which knows nothing of what the former one knew.
func (p *process) open() {
	c := &p.run.conditions
	options := []core.StoreOption{
		core.WithClock(p.now),
		core.WithRefreshWindow(p.window(), c.jitter),
		core.WithLeaseTTL(c.leaseTTL),
	}
	if p.run.mutant.ForgetsUnsaved {
		options = append(options, core.WithObserver(forgetter{p}))
	}
	p.store.Store(core.NewStore(p.backend(), options...))
}

func (p *process) window() time.Duration {
	if p.run.mutant.RefreshesEarly {
		return p.run.conditions.lifetime / 2
	}
	return p.run.conditions.window
}

// now is the process's clock. It has no monotonic reading, which no one sets.
func (p *process) now() time.Time {
	if p.run.mutant.StopsItsClock {
		return p.run.history.start.Round(0)
	}
	return time.Now().Round(0).Add(time.Duration(p.offset.Load()))
}

func (p *process) dead() bool {
	select {
	case <-p.died:
		return true
	default:
		return false
	}
}

// kill ends the process: its calls return nothing, and it makes no others. kill reports
// whether the process was alive.
func (p *process) kill() bool {
	p.mu.Lock()
	if p.dead() {
		p.mu.Unlock()
		return false
	}
	close(p.died)
	p.mu.Unlock()
	p.suffer(death, 0, endOfTime)
	p.run.history.note(p.name, "is killed")
	return true
}

// freezeFor stops the process for a while (SIGSTOP, a closed lid). Calls that it has
// sent arrive; it sees no answer, and sends nothing, before it thaws.
func (p *process) freezeFor(d time.Duration) {
	p.suffer(freeze, 0, d)
	p.run.history.note(p.name, "freezes for", d.String())
	p.mu.Lock()
	defer p.mu.Unlock()
	p.thaws = time.Now().Add(d)
}

// awake waits while the process is frozen.
func (p *process) awake(purpose ...string) {
	for {
		p.mu.Lock()
		left := time.Until(p.thaws)
		p.mu.Unlock()
		if left <= 0 || p.dead() {
			return
		}
		// The calls that waited go on one after the other.
		p.pause(context.Background(), left+time.Duration(hash(purpose...)%uint64(time.Millisecond)))
	}
}

// pause sleeps, and returns early when ctx ends or the process dies.
func (p *process) pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(p.run.untilFree(d))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-p.died:
	}
}

// suffer notes a trouble that began some time ago and lasts for some time.
func (p *process) suffer(kind troubleKind, ago, lasts time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.run.since()
	p.troubles = append(p.troubles, trouble{kind, span{now - ago, now + lasts}})
}

// suffered reports whether a trouble of a kind overlaps a span.
func (p *process) suffered(kind troubleKind, s span) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.troubles {
		if t.kind == kind && t.from <= s.to && s.from <= t.to {
			return true
		}
	}
	return false
}

// untold reports whether the process may not have learnt in a span that a save of its own
// had succeeded: the answer was lost, or the time for it was over when the process went on
// after a freeze.
func (p *process) untold(s span) bool { return p.suffered(fault, s) || p.suffered(freeze, s) }

// excused reports whether a trouble of the process explains that it had not finished by to
// what it began at from. A fault before from counts too, because without a renewal the lease
// may have ended.
func (p *process) excused(from, to time.Duration) bool {
	return p.suffered(death, span{from, to}) || p.suffered(freeze, span{from, to}) || p.suffered(fault, span{from - 2*p.run.conditions.leaseTTL, to})
}

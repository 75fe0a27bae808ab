package core

import (
	"sync"
	"time"
)

// places limits the attempts that run at once. When thousands of tokens expire together,
// an attempt for each would only wait, and be in the way of those that have their answer
// and must save it. The zero value is ready for use.
type places struct {
	mu         sync.Mutex
	taken      int
	left       int        // counts those that left
	callers    []*attempt // wait for a place, and a caller waits for each
	background []*attempt
	watched    bool // checkProgress is to run
}

const (
	// maxAttempts is more than a provider takes requests at once from one
	// application, and far less than what makes a store's clients queue.
	maxAttempts = 256

	// stallTime is how long the waiting attempts accept that none ends. After that the
	// provider doesn't answer, or another process doesn't refresh what they wait for.
	// Other users' tokens must not be held up by that.
	stallTime = time.Second
)

// start runs the attempt in a goroutine of its own as soon as there is a place.
func (p *places) start(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case a.placed: // its record was saved meanwhile
		return
	case p.taken < maxAttempts:
		p.place(a)
		return
	case a.background:
		p.background = append(p.background, a)
	default:
		p.callers = append(p.callers, a)
	}
	p.watch()
}

// startNow runs the attempt although no place may be free, unless it has one.
func (p *places) startNow(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !a.placed {
		p.place(a)
	}
}

// place runs an attempt that has no place yet. The mu is held.
func (p *places) place(a *attempt) {
	a.placed = true
	p.taken++
	go func() {
		defer p.leave()
		a.run()
	}()
}

// leave gives the place to the next attempt.
func (p *places) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left++
	p.taken--
	if p.taken < maxAttempts {
		p.startNext()
	}
}

// startNext starts one waiting attempt, and reports whether there was one. Those for
// which a caller waits come first.
func (p *places) startNext() bool {
	for _, queue := range []*[]*attempt{&p.callers, &p.background} {
		for len(*queue) > 0 {
			next := (*queue)[0]
			(*queue)[0] = nil
			*queue = (*queue)[1:]
			if !next.placed {
				p.place(next)
				return true
			}
		}
	}
	return false
}

// watch lets checkProgress run as long as an attempt waits.
func (p *places) watch() {
	if p.watched {
		return
	}
	p.watched = true
	left := p.left
	time.AfterFunc(stallTime, func() { p.checkProgress(left) })
}

// checkProgress starts as many attempts again if none has left since it looked last.
func (p *places) checkProgress(left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched = false
	if p.left == left {
		for range maxAttempts {
			if !p.startNext() {
				break
			}
		}
	}
	if len(p.callers)+len(p.background) > 0 {
		p.watch()
	}
}

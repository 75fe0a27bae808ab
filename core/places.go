package core

import (
	"sync"
	"time"
)

// places limits the attempts that run at once. If thousands of tokens expire together and
// an attempt for each runs, most attempts only wait, and delay the attempts that have their
// answer and must save it. The zero value is ready for use.
type places struct {
	mu         sync.Mutex
	taken      int
	left       int        // counts the attempts that gave back their place
	callers    []*attempt // attempts that wait for a place, while a caller waits for each
	background []*attempt // attempts that wait for a place, and no caller for them
	watched    bool       // checkProgress will run
}

const (
	// maxAttempts is more than the number of requests that a provider accepts at once from
	// one application, and much less than the number at which a store's clients queue.
	maxAttempts = 256

	// stallTime is how long attempts wait for a place while fewer than leastLeaving running
	// attempts end. By then the provider doesn't answer for many users, or another process
	// holds the leases. That must not keep other users' tokens from being refreshed.
	stallTime = time.Second

	// leastLeaving attempts end in each second if each takes 8 seconds, as with a slow
	// provider. If 256 requests hang, only those end that have reached their time-out: about
	// 9 in each second.
	leastLeaving = maxAttempts / 8
)

// start runs the attempt in a goroutine of its own as soon as there is a place.
func (p *places) start(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case a.placed: // startNow was quicker: the record was saved meanwhile
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

// startNow runs the attempt, even if no place is free. If the attempt has a place, startNow
// does nothing.
func (p *places) startNow(a *attempt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !a.placed {
		p.place(a)
	}
}

// place runs an attempt that has no place yet. The caller holds the mu.
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

// startNext starts one waiting attempt, and reports whether there was one. Attempts for
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

// watch has checkProgress run as long as an attempt waits.
func (p *places) watch() {
	if p.watched {
		return
	}
	p.watched = true
	left := p.left
	time.AfterFunc(stallTime, func() { p.checkProgress(left) })
}

// checkProgress starts more attempts if too few have ended since the last check, when left
// attempts had ended: another maxAttempts if none has, and otherwise a few, because a slow
// provider must not get all requests at once.
func (p *places) checkProgress(left int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched = false
	more := 0
	switch ended := p.left - left; {
	case ended == 0:
		more = maxAttempts
	case ended < leastLeaving:
		more = leastLeaving
	}
	for more > 0 && p.startNext() {
		more--
	}
	if len(p.callers)+len(p.background) > 0 {
		p.watch()
	}
}

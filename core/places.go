package core

import (
	"sync"
	"time"
)

// places bounds the attempts under way. When thousands of tokens expire at once,
// an attempt for each of them would only wait, in the way of those that have
// their answer already and must save it. The zero value is ready for use.
type places struct {
	mu         sync.Mutex
	taken      int
	callers    []func() // wait for a place, and somebody waits for them
	background []func()
}

const (
	// maxAttempts is more than a provider takes requests at once from one
	// application, and far less than what makes a store's clients queue.
	maxAttempts = 256

	// placeTime is how long an attempt keeps its place. One that takes longer
	// waits for a provider that doesn't answer, or for another process: that must
	// not hold up the tokens of other users.
	placeTime = time.Second
)

// start runs attempt in a goroutine of its own as soon as there is a place.
func (p *places) start(background bool, attempt func()) {
	run := func() {
		var once sync.Once
		leave := func() { once.Do(p.leave) }
		timer := time.AfterFunc(placeTime, leave)
		defer timer.Stop()
		defer leave()
		attempt()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.taken < maxAttempts:
		p.taken++
		go run()
	case background:
		p.background = append(p.background, run)
	default:
		p.callers = append(p.callers, run)
	}
}

// leave hands a place on.
func (p *places) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, queue := range []*[]func(){&p.callers, &p.background} {
		if len(*queue) > 0 {
			next := (*queue)[0]
			(*queue)[0] = nil
			*queue = (*queue)[1:]
			go next()
			return
		}
	}
	p.taken--
}

package bitwardentest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Fault is what is to go wrong with one request. The zero value is nothing.
type Fault struct {
	// Hold keeps the request back until the channel is closed. A sender that leaves
	// meanwhile is noticed, and its request changes nothing.
	Hold <-chan struct{}

	// Status answers the request with this status, Header and Body instead of
	// processing it; an empty Body stands for an error as the server words it.
	Status int
	Header http.Header
	Body   string
	// Drop cuts the connection instead.
	Drop bool
	// Process makes the request processed all the same, so that Status or Drop hides
	// what happened: a gateway's 504, a connection that breaks too late.
	Process bool

	// HoldReply keeps the answer back, after processing, until the channel is closed.
	HoldReply <-chan struct{}
}

// Throttled is the server's 429: come back after the given time.
func Throttled(after time.Duration) Fault {
	return Fault{
		Status: http.StatusTooManyRequests,
		Header: http.Header{"Retry-After": {fmt.Sprint(seconds(after))}},
	}
}

// Unavailable is a 503.
func Unavailable() Fault { return Fault{Status: http.StatusServiceUnavailable} }

// Inject queues faults for the next requests of a route, one each.
func (s *Server) Inject(route Route, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.faults.queue = append(s.faults.queue, queued{route, f})
	}
}

// OnRequest installs a hook that says for every request what is to go wrong with it; nil
// removes it. Faults queued by Inject go first. Requests come from many goroutines at
// once, and so do calls of the hook.
func (s *Server) OnRequest(hook func(Route) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.hook = hook
}

// Fail is an outage for the next n requests, a 503 each; a negative n lasts until
// Fail(0), which also ends every other fault that was asked for.
func (s *Server) Fail(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = faults{}
	if n < 0 {
		s.faults.hook = func(Route) Fault { return Unavailable() }
	}
	for range n {
		s.faults.queue = append(s.faults.queue, queued{Any, Unavailable()})
	}
}

// faults is guarded by Server.mu.
type faults struct {
	hook  func(Route) Fault
	queue []queued
}

type queued struct {
	route Route
	fault Fault
}

// next is the first queued fault that fits, or else the hook to ask.
func (f *faults) next(route Route) (Fault, func(Route) Fault) {
	i := slices.IndexFunc(f.queue, func(q queued) bool { return q.route == Any || q.route == route })
	if i < 0 {
		return Fault{}, f.hook
	}
	fault := f.queue[i].fault
	f.queue = slices.Delete(f.queue, i, i+1)
	return fault, nil
}

func (f Fault) answer() *answer {
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	maps.Copy(header, f.Header)
	switch {
	case f.Body != "":
		return &answer{f.Status, header, f.Body}
	case f.Status == http.StatusTooManyRequests:
		return &answer{f.Status, header, errorModel(slowDown)}
	}
	return &answer{f.Status, header, errorModel("An error has occurred.")}
}

// limit allows so many requests in each window, the first of which begins with the first
// request. It is guarded by Server.mu.
type limit struct {
	until time.Time
	n     int
}

// take says how long to wait instead, if the limit is reached; zero allows all.
func (l *limit) take(allowed int, window time.Duration, now time.Time) (wait time.Duration) {
	if !now.Before(l.until) {
		*l = limit{until: now.Add(window)}
	}
	l.n++
	if allowed == 0 || l.n <= allowed {
		return 0
	}
	return l.until.Sub(now)
}

// seconds rounds up: Retry-After knows whole ones (RFC 9110 section 10.2.3).
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

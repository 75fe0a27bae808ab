package entra

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Fault is what is to go wrong with one token request. The zero value is nothing.
//
// A request passes, in this order: Hold and its like, Before, [is the sender still
// there?], Status, the grant itself, HoldReply, After, Drop.
type Fault struct {
	// Hold and Before keep the request back before it is processed. A sender that
	// leaves meanwhile is noticed, and its request dropped: it changes nothing.
	Hold   *Gate
	Before time.Duration

	// Status answers the request with this status, Header and Body instead of processing
	// it; an empty Body stands for an Entra-like error.
	Status int
	Header http.Header
	Body   string
	// Process makes it processed all the same, so that Status hides a success: a gateway's 504.
	Process bool

	// HoldReply and After keep the answer back after processing.
	HoldReply *Gate
	After     time.Duration
	// Drop processes the request and cuts the connection instead of answering.
	Drop bool

	// OmitRefreshToken answers a refresh without a new refresh token: the old one stays good.
	OmitRefreshToken bool
}

// Throttled is Entra's 429: come back after the given time.
func Throttled(after time.Duration) Fault {
	return Fault{
		Status: http.StatusTooManyRequests,
		Header: http.Header{"Retry-After": {fmt.Sprint(seconds(after))}},
	}
}

// Unavailable is a 503.
func Unavailable() Fault { return Fault{Status: http.StatusServiceUnavailable} }

// OnToken installs a hook that says for every token request what is to go wrong with
// it; nil removes it. Faults queued by Inject go first. Requests come from many
// goroutines at once, and so do calls of the hook.
func (s *Server) OnToken(hook func(Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.hook = hook
}

// Inject queues faults for the next requests of a grant type, one each; an empty grant
// means of any.
func (s *Server) Inject(grant string, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.faults.queue = append(s.faults.queue, queued{grant, f})
	}
}

// ClearFaults forgets the queue and the hook, and opens every gate that Hold and HoldReply shut.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	gates := s.faults.gates
	s.faults = faults{}
	s.mu.Unlock()
	for _, g := range gates {
		g.gate.Open()
	}
}

// Hold shuts a gate in front of all requests of a grant type (of any, if empty) that
// arrive from now on, until it is opened.
func (s *Server) Hold(grant string) *Gate { return s.shut(grant, false) }

// HoldReply shuts a gate behind the processing of such requests: what they changed is
// changed, and the answer waits.
func (s *Server) HoldReply(grant string) *Gate { return s.shut(grant, true) }

func (s *Server) shut(grant string, reply bool) *Gate {
	g := NewGate()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.gates = slices.DeleteFunc(s.faults.gates, func(old held) bool { return old.gate.opened() })
	s.faults.gates = append(s.faults.gates, held{grant, reply, g})
	return g
}

func (f Fault) write(w http.ResponseWriter) {
	for name, values := range f.Header {
		w.Header()[http.CanonicalHeaderKey(name)] = slices.Clone(values)
	}
	body := f.Body
	if body == "" {
		if w.Header().Get("Content-Type") == "" {
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
		}
		body = `{"error":"temporarily_unavailable","error_description":"AADSTS90033: A transient error has occurred. Please try again.","error_codes":[90033]}`
	}
	w.WriteHeader(f.Status)
	// A reader that is gone can't be told.
	_, _ = w.Write([]byte(body))
}

// faults is guarded by Server.mu.
type faults struct {
	hook  func(Request) Fault
	queue []queued
	gates []held
}

type queued struct {
	grant string
	fault Fault
}

type held struct {
	grant string
	reply bool
	gate  *Gate
}

func (f *faults) next(grant string) (Fault, bool) {
	i := slices.IndexFunc(f.queue, func(q queued) bool { return q.grant == "" || q.grant == grant })
	if i < 0 {
		return Fault{}, false
	}
	fault := f.queue[i].fault
	f.queue = slices.Delete(f.queue, i, i+1)
	return fault, true
}

// gatesFor are the gates before and after the processing of a grant.
func (f *faults) gatesFor(grant string) (before, after []*Gate) {
	for _, h := range f.gates {
		switch {
		case h.grant != "" && h.grant != grant:
		case h.reply:
			after = append(after, h.gate)
		default:
			before = append(before, h.gate)
		}
	}
	return before, after
}

// Gate holds requests until it is told to let them go. A new one is shut.
type Gate struct {
	changed *pulse

	mu      sync.Mutex
	arrived int // ever
	waiting int
	permits int
	open    bool
}

// NewGate makes a gate for [Fault].Hold or HoldReply; [Server.Hold] makes its own.
func NewGate() *Gate { return &Gate{changed: newPulse()} }

// Await returns once n requests have arrived at the gate since it was made.
func (g *Gate) Await(ctx context.Context, n int) error {
	for {
		changed := g.changed.wait()
		g.mu.Lock()
		arrived := g.arrived
		g.mu.Unlock()
		if arrived >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("entra: %d of %d requests arrived at the gate: %w", arrived, n, context.Cause(ctx))
		}
	}
}

// Waiting is how many requests stand at the gate.
func (g *Gate) Waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

// Pass lets n requests through, waiting ones or future ones.
func (g *Gate) Pass(n int) {
	g.mu.Lock()
	g.permits += n
	g.mu.Unlock()
	g.changed.signal()
}

// Open lets everything through from now on.
func (g *Gate) Open() {
	g.mu.Lock()
	g.open = true
	g.mu.Unlock()
	g.changed.signal()
}

func (g *Gate) opened() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open
}

// pass stands at the gate; false means that the sender left first.
func (g *Gate) pass(ctx context.Context) bool {
	g.mu.Lock()
	g.arrived++
	g.waiting++
	g.mu.Unlock()
	g.changed.signal()
	defer func() {
		g.mu.Lock()
		g.waiting--
		g.mu.Unlock()
		g.changed.signal()
	}()
	for {
		changed := g.changed.wait()
		if ctx.Err() != nil {
			return false // before a permit is spent on nobody
		}
		g.mu.Lock()
		if g.open || g.permits > 0 {
			if !g.open {
				g.permits--
			}
			g.mu.Unlock()
			return true
		}
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

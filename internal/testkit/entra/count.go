package entra

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"
)

// Counts tells what became of the token requests of one grant type:
// Received = Dropped + Faulted + Processed + those still waiting.
type Counts struct {
	Received  int `json:"received"`  // requests whose body was read
	Dropped   int `json:"dropped"`   // whose sender was gone before they were processed; they changed nothing
	Faulted   int `json:"faulted"`   // answered by a fault's status instead of being processed
	Processed int `json:"processed"` // Succeeded + Failed
	Succeeded int `json:"succeeded"` // tokens were issued
	Failed    int `json:"failed"`    // refused, with an error of OAuth
}

// Grants is what a server has counted so far.
type Grants struct {
	Total  Counts            `json:"total"`
	ByType map[string]Counts `json:"by_type"` // by grant type

	RefreshesSucceeded int `json:"refreshes_succeeded"` // ByType[Refresh].Succeeded
	RepliesLost        int `json:"replies_lost"`        // processed, but the answer was withheld or found nobody
	ReuseDetected      int `json:"reuse_detected"`      // spent refresh tokens presented again, beyond the grace
	ReuseGraced        int `json:"reuse_graced"`        // … and within it
	FamiliesRevoked    int `json:"families_revoked"`

	Log []Event `json:"log"` // the latest, oldest first
}

// Event is what became of one token request. It never holds a token.
type Event struct {
	Time     time.Time `json:"time"` // by the server's clock
	Grant    string    `json:"grant"`
	N        int       `json:"n"` // of this grant type
	ClientID string    `json:"client_id,omitempty"`
	Username string    `json:"username,omitempty"`
	Tenant   string    `json:"tenant,omitempty"`
	Family   int       `json:"family,omitempty"` // which sign-in's refresh tokens, counted from 1
	// Outcome is "ok", "dropped", "fault 503", or an error's code and number.
	Outcome string `json:"outcome"`
}

// Grants is a snapshot of the counters and the log.
func (s *Server) Grants() Grants {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts.snapshot()
}

// ResetGrants sets all counters to zero and empties the log.
func (s *Server) ResetGrants() {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.counts.changed
	s.counts = newCounts()
	s.counts.changed = changed
	changed.signal()
}

// Wait returns once the counters satisfy done, which is asked again after every change.
func (s *Server) Wait(ctx context.Context, done func(Grants) bool) error {
	for {
		s.mu.Lock()
		now, changed := s.counts.snapshot(), s.counts.changed.wait()
		s.mu.Unlock()
		if done(now) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("entra: waiting for the counters, which stand at %+v: %w", now.Total, context.Cause(ctx))
		}
	}
}

// logLimit keeps a server that runs for days from growing without end.
const logLimit = 10_000

// counts is guarded by Server.mu.
type counts struct {
	byType                                                   map[string]Counts
	repliesLost, reuseDetected, reuseGraced, familiesRevoked int
	log                                                      []Event
	changed                                                  *pulse
}

func newCounts() counts { return counts{byType: map[string]Counts{}, changed: newPulse()} }

func (c *counts) snapshot() Grants {
	g := Grants{
		ByType: maps.Clone(c.byType), RefreshesSucceeded: c.byType[Refresh].Succeeded,
		RepliesLost: c.repliesLost, ReuseDetected: c.reuseDetected, ReuseGraced: c.reuseGraced,
		FamiliesRevoked: c.familiesRevoked, Log: append([]Event{}, c.log...),
	}
	for _, n := range c.byType {
		g.Total.Received += n.Received
		g.Total.Dropped += n.Dropped
		g.Total.Faulted += n.Faulted
		g.Total.Processed += n.Processed
		g.Total.Succeeded += n.Succeeded
		g.Total.Failed += n.Failed
	}
	return g
}

func (c *counts) edit(grant string, edit func(*Counts)) Counts {
	n := c.byType[grant]
	edit(&n)
	c.byType[grant] = n
	c.changed.signal()
	return n
}

func (c *counts) received(grant string) int {
	return c.edit(grant, func(n *Counts) { n.Received++ }).Received
}

func (c *counts) processed(now time.Time, r *call, refused *refusal) Event {
	outcome := "ok"
	if refused != nil {
		outcome = refused.outcome()
	}
	e := c.record(now, r, outcome)
	c.edit(r.Grant, func(n *Counts) {
		n.Processed++
		if refused == nil {
			n.Succeeded++
		} else {
			n.Failed++
		}
	})
	return e
}

func (c *counts) record(now time.Time, r *call, outcome string) Event {
	e := Event{
		Time: now, Grant: r.Grant, N: r.N, ClientID: r.ClientID, Username: r.Username, Tenant: r.Tenant,
		Family: r.family, Outcome: outcome,
	}
	if r.user != nil {
		e.Username = r.user.Username
	}
	if len(c.log) == logLimit {
		c.log = append(c.log[:0:0], c.log[logLimit/2:]...)
	}
	c.log = append(c.log, e)
	return e
}

// dropped notes a request whose sender left before it was processed.
func (s *Server) dropped(c *call) {
	s.note(c, "dropped", func(n *Counts) { n.Dropped++ })
}

// refusedByFault notes a request that a fault answered.
func (s *Server) refusedByFault(c *call, f Fault) {
	s.note(c, fmt.Sprintf("fault %d", f.Status), func(n *Counts) { n.Faulted++ })
}

func (s *Server) note(c *call, outcome string, edit func(*Counts)) {
	s.mu.Lock()
	event := s.counts.record(s.opts.Clock(), c, outcome)
	s.counts.edit(c.Grant, edit)
	observe := s.opts.OnGrant
	s.mu.Unlock()
	if observe != nil {
		observe(event)
	}
}

func (s *Server) replyLost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.repliesLost++
	s.counts.changed.signal()
}

// pulse wakes everybody who waits, each time it is signalled.
type pulse struct {
	mu sync.Mutex
	ch chan struct{}
}

func newPulse() *pulse { return &pulse{ch: make(chan struct{})} }

// wait returns what the next signal closes; take it before looking at what it guards.
func (p *pulse) wait() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ch
}

func (p *pulse) signal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.ch)
	p.ch = make(chan struct{})
}

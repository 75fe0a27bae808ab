package bitwardentest

import (
	"context"
	"fmt"
	"maps"
)

// Route is a kind of request.
type Route string

// The routes of the server, as its sources name them.
const (
	Login    Route = "POST /connect/token"
	List     Route = "GET /organizations/{organization}/secrets"
	Create   Route = "POST /organizations/{organization}/secrets"
	Sync     Route = "GET /organizations/{organization}/secrets/sync"
	Get      Route = "GET /secrets/{id}"
	Update   Route = "PUT /secrets/{id}"
	GetByIDs Route = "POST /secrets/get-by-ids"
	Delete   Route = "POST /secrets/delete"

	// Any stands for every route where faults are concerned.
	Any Route = ""
)

// Counts tells how many requests of each route arrived, whatever became of them.
type Counts map[Route]int

// Total is the number of all requests.
func (c Counts) Total() int {
	total := 0
	for _, n := range c {
		total += n
	}
	return total
}

// Counts is a snapshot.
func (s *Server) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts.arrived)
}

// ResetCounts sets all counts to zero.
func (s *Server) ResetCounts() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.counts.arrived)
}

// Await returns once n requests of a route, or of any, have arrived.
func (s *Server) Await(ctx context.Context, route Route, n int) error {
	for {
		s.mu.Lock()
		arrived, changed := s.counts.arrived[route], s.counts.changed
		if route == Any {
			arrived = s.counts.arrived.Total()
		}
		s.mu.Unlock()
		if arrived >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("bitwardentest: %d of %d requests %q arrived: %w", arrived, n, route, context.Cause(ctx))
		}
	}
}

// counts is guarded by Server.mu.
type counts struct {
	arrived Counts
	changed chan struct{} // closed, and replaced, by every arrival
}

func newCounts() counts { return counts{arrived: Counts{}, changed: make(chan struct{})} }

func (c *counts) arrive(route Route) {
	c.arrived[route]++
	close(c.changed)
	c.changed = make(chan struct{})
}

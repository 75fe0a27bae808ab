package core

import (
	"container/heap"
	"strings"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// entry is everything one process knows of one key. Its fields are guarded by
// Store.mu, but for gate. It lives as long as something is in it.
type entry struct {
	key     string
	gate    chan struct{} // holds a value while somebody refreshes
	users   int           // of gate
	flights map[flightID]*flight
	cells   map[queryID]*cell
	unsaved *unsaved
	resave  failure // how saving it went
	// outage and refusal are what failed last, the store or the provider, so
	// that callers don't find out one after the other.
	outage, refusal failure
	// generation changes when the copies are forgotten: a refresh that began
	// before must not bring one back.
	generation int
}

// enter returns the entry of key for use, until leave.
func (s *Store) enter(key string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entryOf(key)
	e.users++
	return e
}

func (s *Store) leave(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.users--
	s.dropIfEmpty(e)
}

func (s *Store) entryOf(key string) *entry {
	e := s.entries[key]
	if e == nil {
		e = &entry{
			key:     key,
			gate:    make(chan struct{}, 1),
			flights: make(map[flightID]*flight),
			cells:   make(map[queryID]*cell),
		}
		s.entries[key] = e
	}
	return e
}

func (s *Store) dropIfEmpty(e *entry) {
	if e.users == 0 && len(e.flights) == 0 && len(e.cells) == 0 && e.unsaved == nil {
		delete(s.entries, e.key)
	}
}

// queryID is a tokencache.Query as a map key. Sources that can't refresh are
// kept apart, or their failures would be those of the ones that can.
type queryID struct {
	username, homeAccountID, clientID, tenant, scopes string
	app, passive                                      bool
}

func idOf(q tokencache.Query, f RefreshFunc) queryID {
	return queryID{q.Username, q.HomeAccountID, q.ClientID, q.Tenant, strings.Join(q.Scopes, " "), q.App, f == nil}
}

// cell is the place of one query's access token in the process. Token sources
// keep a pointer to it, so that a valid token costs them one atomic load; a
// cell that left its entry is empty for good, and they look up its successor.
type cell struct {
	entry   *entry
	id      queryID
	copy    atomic.Pointer[copied]
	leaves  time.Time // guarded by Store.mu, as the next two
	index   int       // in Store.copies
	refusal failure   // ErrReauthRequired, which is this user's alone
}

// copied is a resolved access token. It is immutable.
type copied struct {
	token     tokencache.AccessToken
	claims    string    // the challenge it answers
	obtained  uint64    // Store.obtained when it was seen to be new; zero for one that was found
	issued    time.Time // by the provider, to whomever
	refreshAt time.Time // from when it is refreshed behind
	staleAt   time.Time // when the record is to be looked at again; zero for never
	unsaved   bool
	until     int64 // Unix nanoseconds until which it is served without a second thought
}

// cellOf returns the cell of a query, nil if there is none.
func (s *Store) cellOf(key string, id queryID) *cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[key]; e != nil {
		return e.cells[id]
	}
	return nil
}

// makeCell returns the cell of a query, made if need be, to leave at the given
// time. Store.mu is held.
func (s *Store) makeCell(e *entry, id queryID, leaves time.Time) *cell {
	c := e.cells[id]
	if c != nil {
		c.leaves = leaves
		heap.Fix(&s.copies, c.index)
		return c
	}
	c = &cell{entry: e, id: id, leaves: leaves}
	e.cells[id] = c
	heap.Push(&s.copies, c)
	for len(s.copies) > s.maxRecords {
		first := s.copies[0]
		if first == c { // the newcomer stays: it is about to be used
			if len(s.copies) == 1 {
				break
			}
			first = s.copies.second()
		}
		s.removeCell(first)
	}
	return c
}

func (s *Store) removeCell(c *cell) {
	c.copy.Store(nil)
	heap.Remove(&s.copies, c.index)
	delete(c.entry.cells, c.id)
	s.dropIfEmpty(c.entry)
}

// forgetCopies drops the key's copies: the record was changed by the
// application, and what they hold may be signed out.
func (s *Store) forgetCopies(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key]
	if e == nil {
		return
	}
	e.generation++
	for _, c := range e.cells {
		s.removeCell(c)
	}
}

// copyHeap orders cells by when they leave.
type copyHeap []*cell

func (h copyHeap) Len() int           { return len(h) }
func (h copyHeap) Less(i, j int) bool { return h[i].leaves.Before(h[j].leaves) }
func (h copyHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *copyHeap) Push(x any) {
	c := x.(*cell)
	c.index = len(*h)
	*h = append(*h, c)
}

func (h *copyHeap) Pop() any {
	last := len(*h) - 1
	c := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return c
}

// second is the first to leave of all but the top; there are at least two.
func (h copyHeap) second() *cell {
	if len(h) > 2 && h.Less(2, 1) {
		return h[2]
	}
	return h[1]
}

// failure is an error that is remembered for a while.
type failure struct {
	err     error
	version Version // of the record it happened with
	count   int
	until   time.Time
}

const firstBackoff, lastBackoff = time.Second, time.Minute

// again is the failure after one more: each lasts twice as long.
func (f failure) again(err error, v Version, now time.Time) failure {
	return failure{
		err:     err,
		version: v,
		count:   f.count + 1,
		until:   now.Add(min(firstBackoff<<min(f.count, 10), lastBackoff)),
	}
}

func (f failure) active(now time.Time) bool {
	return f.err != nil && now.Before(f.until)
}

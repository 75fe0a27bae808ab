package account

import (
	"maps"
	"sync"
	"time"
)

// expiring is a map whose values expire. The zero value is empty. It is safe for concurrent
// use.
type expiring[V any] struct {
	mu    sync.Mutex
	known map[string]timed[V]
	prune int // at this size add drops the values that have expired
}

type timed[V any] struct {
	value V
	until time.Time
}

// add notes a value until a time, and reports whether there was none.
func (e *expiring[V]) add(key string, value V, until time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, found := e.of(key); found {
		return false
	}
	if e.known == nil {
		e.known = make(map[string]timed[V])
	}
	if len(e.known) >= max(e.prune, 1000) {
		now := time.Now()
		maps.DeleteFunc(e.known, func(_ string, t timed[V]) bool { return !now.Before(t.until) })
		e.prune = 2 * len(e.known)
	}
	e.known[key] = timed[V]{value, until}
	return true
}

// get returns a value that hasn't expired.
func (e *expiring[V]) get(key string) (V, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t, found := e.of(key)
	return t.value, found
}

// drop forgets a value.
func (e *expiring[V]) drop(key string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.known, key)
}

// of is get for a caller that holds mu.
func (e *expiring[V]) of(key string) (timed[V], bool) {
	t, found := e.known[key]
	if !found || !time.Now().Before(t.until) {
		return timed[V]{}, false
	}
	return t, true
}

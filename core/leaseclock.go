package core

import (
	"sync"
	"time"
)

// leaseClock knows how long a lease lasts that this process holds. It goes by the
// monotonic clock and by the wall clock: the first stands still while a
// computer sleeps, the second can be set back.
type leaseClock struct {
	mu      sync.Mutex
	renewed time.Time // with its monotonic reading
	ttl     time.Duration
	lost    bool
}

// extend notes that the lease was asked for, or renewed, at the given time: it
// lasts ttl from there at least.
func (l *leaseClock) extend(asked time.Time, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed, l.ttl = asked, ttl
}

// lose notes that the store said ErrLeaseLost.
func (l *leaseClock) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = true
}

func (l *leaseClock) held() bool {
	if l == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	return !l.lost && now.Sub(l.renewed) < l.ttl && now.Round(0).Sub(l.renewed.Round(0)) < l.ttl
}

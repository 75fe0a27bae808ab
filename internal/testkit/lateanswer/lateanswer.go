// Package lateanswer tests that no lease stays if the caller's context ends after the
// store has granted the lease and before its answer arrives.
package lateanswer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// Gate holds one answer of a store back.
type Gate struct{ reached, open chan struct{} }

// NewGate returns a gate that is shut.
func NewGate() *Gate { return &Gate{make(chan struct{}), make(chan struct{})} }

// Pass is called with the answer to the request that takes a lease, before the
// client gets it. It returns when NoLeaseStays lets the answer go, or ctx's error;
// later calls return at once.
func (g *Gate) Pass(ctx context.Context) error {
	select {
	case <-g.open:
		return nil
	default:
	}
	close(g.reached)
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// bound is how long NoLeaseStays waits for what must happen.
const bound = 20 * time.Second

// NoLeaseStays has a caller of held, whose answers pass the gate, leave once the
// store has granted the lease, and expects that another, which reaches the same
// store, can take the lease soon after. Between its attempts it calls pass, if
// that is not nil, for stores whose time must be moved on.
func NoLeaseStays(t *testing.T, held, another core.Leaser, gate *Gate, pass func()) {
	t.Helper()
	const key, ttl = "late@contoso.com", time.Hour
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	go func() {
		<-gate.reached
		leave()
	}()
	lease, err := held.Acquire(ctx, key, ttl)
	if lease != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Acquire for a caller who left = %v, %v", lease, err)
	}
	if _, err := another.Acquire(t.Context(), key, ttl); !errors.Is(err, core.ErrLeaseHeld) {
		t.Fatalf("the store had not granted the lease, the test proves nothing: %v", err)
	}
	close(gate.open)
	for end := time.Now().Add(bound); ; {
		lease, err := another.Acquire(t.Context(), key, ttl)
		if err == nil {
			if err := lease.Release(t.Context()); err != nil {
				t.Errorf("Release: %v", err)
			}
			return
		}
		if !errors.Is(err, core.ErrLeaseHeld) || time.Now().After(end) {
			t.Fatalf("the lease of a caller who left stays: %v", err)
		}
		if pass != nil {
			pass()
		}
		time.Sleep(20 * time.Millisecond)
	}
}

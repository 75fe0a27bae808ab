package testkit

import (
	"context"
	"sync"
	"testing"
)

// Shared is what all tests of a package use, a server say. The first test that asks for
// it starts it, and TestMain ends it:
//
//	var emulator = testkit.Shared[*firestoretest.Server]{Start: firestoretest.Emulator}
//
//	func TestMain(m *testing.M) {
//		code := m.Run()
//		emulator.End()
//		os.Exit(code)
//	}
type Shared[S any] struct {
	Start func(testing.TB) S

	mu       sync.Mutex
	started  bool
	value    S
	cleanups []func()
}

// Get returns what the first call started.
func (s *Shared[S]) Get(t testing.TB) S {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.value = s.Start(lasting{t, &s.cleanups})
		s.started = true // not if the test was skipped
	}
	return s.value
}

// End does what Start left for the end.
func (s *Shared[S]) End() {
	for len(s.cleanups) > 0 {
		last := len(s.cleanups) - 1
		s.cleanups[last]()
		s.cleanups = s.cleanups[:last]
	}
}

// lasting is a test whose end doesn't end what it started.
type lasting struct {
	testing.TB
	cleanups *[]func()
}

func (l lasting) Cleanup(f func()) { *l.cleanups = append(*l.cleanups, f) }

func (lasting) Context() context.Context { return context.Background() }

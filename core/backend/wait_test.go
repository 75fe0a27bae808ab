package backend_test

import (
	"context"
	"errors"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// shop is a store whose looks are counted.
type shop struct {
	mu      sync.Mutex
	version core.Version
	expires time.Time
	failing error
	looks   []time.Time
}

func (s *shop) look(context.Context, string) (core.Version, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks = append(s.looks, time.Now())
	return s.version, time.Until(s.expires), s.failing
}

func (s *shop) change(f func(*shop)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *shop) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.looks)
}

// held is a shop with version 1, whose lease lasts for an hour.
func held() *shop { return &shop{version: "1", expires: time.Now().Add(time.Hour)} }

// waiting begins to wait, and returns what receives the end of it.
func waiting(t *testing.T, key string, seen core.Version, w backend.Watch) <-chan error {
	over := make(chan error, 1)
	go func() { over <- backend.Wait(t.Context(), origin.Op("wait", key), seen, w) }()
	synctest.Wait()
	return over
}

// wantOver fails unless the wait is over with an error that is want.
func wantOver(t *testing.T, over <-chan error, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-over:
		if !errors.Is(err, want) {
			t.Errorf("the wait ended with %v, want %v", err, want)
		}
	default:
		t.Fatal("the wait goes on")
	}
}

func wantWaiting(t *testing.T, over <-chan error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-over:
		t.Fatalf("the wait ended with %v", err)
	default:
	}
}

func TestOneLoopLooksForAllWaitersOfARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := held()
		// As several Backends on one client have it.
		type place struct{ s *shop }
		w := backend.Watch{Place: place{s}, Look: s.look, First: time.Second, Last: time.Second}
		var all []<-chan error
		for range 1000 {
			all = append(all, waiting(t, "ana", "1", w))
		}
		time.Sleep(10 * time.Second)
		if n := s.count(); n < 7 || n > 14 {
			t.Errorf("in 10 seconds with pauses of one there were %d looks", n)
		}
		s.change(func(s *shop) { s.version = "2" })
		time.Sleep(2 * time.Second)
		for _, over := range all {
			wantOver(t, over, nil)
		}
		n := s.count()
		time.Sleep(time.Minute)
		if s.count() != n {
			t.Error("there are looks for nobody")
		}
	})
}

func TestAWaitEndsIfTheStoredVersionDiffersFromTheOneSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := held()
		w := backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Minute}
		current := waiting(t, "ana", "1", w)
		time.Sleep(30 * time.Second) // so that the next look is some time off
		wantWaiting(t, current)
		old := waiting(t, "ana", "0", w)
		time.Sleep(2 * time.Second)
		wantOver(t, old, nil)
		wantWaiting(t, current)
		s.change(func(s *shop) { s.expires = time.Now().Add(time.Second) })
		time.Sleep(3 * time.Minute)
		wantOver(t, current, nil)
	})
}

func TestThereIsALookWhenTheLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := held()
		s.expires = time.Now().Add(5 * time.Second)
		over := waiting(t, "ana", "1", backend.Watch{Place: s, Look: s.look, Wakes: new(backend.Wakes)})
		time.Sleep(4 * time.Second)
		wantWaiting(t, over)
		time.Sleep(time.Second + time.Millisecond)
		wantOver(t, over, nil)
		if n := s.count(); n != 2 {
			t.Errorf("there were %d looks, want one at first and one at the end", n)
		}
	})
}

func TestPausesBetweenLooksGrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := held()
		over := waiting(t, "ana", "1", backend.Watch{Place: s, Look: s.look, First: 100 * time.Millisecond, Last: time.Second})
		time.Sleep(time.Minute)
		wantWaiting(t, over)
		n := s.count()
		if n < 48 || n > 90 {
			t.Errorf("in a minute with pauses from 0.1 to 1 second there were %d looks", n)
		}
		if early, late := s.looks[1].Sub(s.looks[0]), s.looks[n-1].Sub(s.looks[n-2]); early > 200*time.Millisecond || late < 700*time.Millisecond {
			t.Errorf("the first pause was %v, and the last %v", early, late)
		}
	})
}

func TestManyRecordsShareTheLooksOfAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := held()
		w := backend.Watch{Place: s, Look: s.look, First: time.Millisecond, Last: time.Millisecond, MostLooks: 100}
		for i := range 1000 {
			waiting(t, strconv.Itoa(i), "1", w)
		}
		time.Sleep(10 * time.Second)
		before := s.count()
		time.Sleep(20 * time.Second)
		if n := s.count() - before; n < 1600 || n > 2400 {
			t.Errorf("in 20 seconds there were %d looks, of 100 a second", n)
		}
	})
}

func TestALookThatFailsEndsTheWaitWithItsError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := held()
		w := backend.Watch{Place: s, Look: s.look, First: time.Second, Last: time.Second}
		first, second := waiting(t, "ana", "1", w), waiting(t, "ana", "1", w)
		down := errors.New("connection refused")
		s.change(func(s *shop) { s.failing = down })
		time.Sleep(2 * time.Second)
		wantOver(t, first, down)
		wantOver(t, second, down)
	})
}

func TestALookThatEndsItsGoroutineEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		exits := func(context.Context, string) (core.Version, time.Duration, error) {
			runtime.Goexit()
			return "", 0, nil
		}
		over := waiting(t, "ana", "1", backend.Watch{Look: exits, Last: time.Second})
		time.Sleep(time.Second)
		synctest.Wait()
		select {
		case err := <-over:
			if err == nil {
				t.Error("the wait ended without an error")
			}
		default:
			t.Fatal("the wait goes on, and nothing looks")
		}
	})
}

func TestAWaiterCanLeaveAStoreThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hung := func(ctx context.Context, _ string) (core.Version, time.Duration, error) {
			<-ctx.Done()
			return "", 0, ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := backend.Wait(ctx, origin.Op("wait", "ana"), "1", backend.Watch{Look: hung, Last: time.Second})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > time.Second {
			t.Errorf("Wait: %v after %v", err, time.Since(began))
		}
		if err := backend.Wait(t.Context(), origin.Op("wait", "ana"), "1", backend.Watch{Look: hung, Last: time.Second}); err == nil {
			t.Error("a look that takes longer than its bound is none")
		}
	})
}

func TestAWaitWithAnInvalidKeyOrADoneContextLooksAtNothing(t *testing.T) {
	s := held()
	gone, leave := context.WithCancel(t.Context())
	leave()
	w := backend.Watch{Place: s, Look: s.look}
	for key, ctx := range map[string]context.Context{"": t.Context(), "ana": gone} {
		if err := backend.Wait(ctx, origin.Op("wait", key), "1", w); err == nil {
			t.Errorf("Wait(%q): no error", key)
		}
	}
	if s.count() > 0 {
		t.Error("it looked")
	}
}

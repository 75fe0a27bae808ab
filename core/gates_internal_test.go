package core

import (
	"context"
	"sync"
	"testing"
	"time"
)

type called int

func (c *called) recordSaved() { *c++ }

func TestASaveStartsAttemptsThatHaveNotEnteredTheGate(t *testing.T) {
	g, id := gates{open: make(map[gateID]*gate)}, gateID{key: "k"}
	var who [3]called
	var passages [3]passage
	for i := range who {
		g.arrive(&passages[i], id, &who[i])
	}
	if err := passages[1].enter(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.noteSaved(id, Record{Version: "1"}, time.Now())
	g.noteSaved(id, Record{Version: "2"}, time.Now())
	if who != [3]called{1, 0, 1} {
		t.Errorf("they were called %v times", who)
	}
	passages[1].leave()
	for _, i := range []int{0, 2} {
		if err := passages[i].enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		passages[i].leave()
	}
	if len(g.open) != 0 {
		t.Errorf("%d gates are left", len(g.open))
	}
}

// started is a refresh that a save starts, and that then enters the gate.
type started struct {
	passage passage
	entered chan error
}

func (s *started) recordSaved() {
	go func() {
		err := s.passage.enter(context.Background())
		if err == nil {
			s.passage.leave()
		}
		s.entered <- err
	}()
}

func TestASaveMayStartARefreshAsSoonAsItHasArrived(t *testing.T) {
	g, id := gates{open: make(map[gateID]*gate)}, gateID{key: "k"}
	stop := make(chan struct{})
	var saves sync.WaitGroup
	saves.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				g.noteSaved(id, Record{}, time.Now())
			}
		}
	})
	for range 1000 {
		s := &started{entered: make(chan error, 1)}
		g.arrive(&s.passage, id, s)
		if err := <-s.entered; err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	saves.Wait()
}

// A client that somebody wrapped can be a value with a map in it.
func TestAPlaceThatCantBeComparedIsNone(t *testing.T) {
	type place struct{ client any }
	b := &locatedAt{place: place{map[string]int{}}}
	if got := placeOf(b); got != any(b) {
		t.Errorf("the place is %v", got)
	}
	b.place = place{b}
	if got := placeOf(b); got != b.place {
		t.Errorf("the place is %v", got)
	}
}

type locatedAt struct {
	TokenBackend
	place any
}

func (b *locatedAt) Place() any { return b.place }

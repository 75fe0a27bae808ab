package core

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"
)

// Locator tells which store a backend is. Backends of one process whose places are
// equal (==) keep the same records under the same keys, in the same form: what one
// loads, the other would load. Stores on them then refresh a record one at a time, and
// hand each other what they found. A place is comparable, such as a pointer to
// the client with the prefix, and says nothing that other clients don't share.
//
// A backend without it is a place of its own.
type Locator interface {
	Place() any
}

// placeOf returns the place of a Store on b.
func placeOf(b TokenBackend) any {
	if l, ok := b.(Locator); ok {
		if place := l.Place(); place != nil && reflect.ValueOf(place).Comparable() {
			return place
		}
	}
	if t := reflect.TypeOf(b); t != nil && t.Kind() == reflect.Pointer {
		return b
	}
	return nil
}

// gates admit one refresh of a record at a time in the process, because all
// queries and claims of one record share its refresh tokens. Whoever waited at a
// gate is handed what was loaded and saved meanwhile.
//
// They are those of the process: several Stores on one place are as one.
type gates struct {
	mu   sync.Mutex
	open map[gateID]*gate
}

var processGates = gates{open: make(map[gateID]*gate)}

type gateID struct {
	place any
	key   string
}

type gate struct {
	gates *gates
	id    gateID
	pass  chan struct{} // holds a value while somebody is within

	// Guarded by gates.mu.
	users   int       // those within, and those who wait
	arrived []arrival // those of them who have something else to wait for before
	last    Record
	at      time.Time // when last was asked for; zero if there is none
}

// arrival is somebody who came to a gate, and has something else to wait for before it
// is entered.
type arrival interface {
	// recordSaved says that a new record is there to be handed over.
	recordSaved()
}

// maxCalled bounds how many hear of a save. They are as many as there are stores on
// one place and queries of one user. Where many users share a record, most of
// them would find nothing in it.
const maxCalled = 16

// passage is the way of one refresh through a record's gate.
type passage struct {
	gate  *gate
	who   arrival   // may be nil
	since time.Time // when it came to the gate
}

// arrive comes to a gate: what is found of the record from now on is handed over. The
// passage must be entered, if only to be told that its time is over. A nil a only waits
// at the gate.
func (g *gates) arrive(id gateID, a arrival) passage {
	return passage{gate: g.use(id, a), who: a, since: time.Now()}
}

// enter waits until nobody else is within the gate. With an error, the passage is over.
func (p *passage) enter(ctx context.Context) error {
	p.waitsAtTheGate()
	err := ctx.Err()
	if err == nil {
		select {
		case p.gate.pass <- struct{}{}:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	p.gate.unuse()
	return err
}

// waitsAtTheGate notes that there is nothing else to wait for.
func (p *passage) waitsAtTheGate() {
	k := p.gate
	k.gates.mu.Lock()
	defer k.gates.mu.Unlock()
	switch i := slices.Index(k.arrived, p.who); i {
	case -1:
	case 0: // as usual, and there may be thousands
		k.arrived = k.arrived[1:]
	default:
		k.arrived = slices.Delete(k.arrived, i, i+1)
	}
}

func (p *passage) leave() {
	<-p.gate.pass
	p.gate.unuse()
}

// handedOver returns the record as somebody else found it or left it since this
// one came to the gate, and when that was: the record need not be loaded then.
func (p *passage) handedOver() (rec Record, at time.Time, ok bool) {
	p.gate.gates.mu.Lock()
	defer p.gate.gates.mu.Unlock()
	return p.gate.last, p.gate.at, p.gate.at.After(p.since)
}

// note tells those who wait at a record's gate how the record is: as it was at
// some time after asked. They get the same bytes, and change none.
func (g *gates) note(id gateID, rec Record, asked time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.open[id]; k != nil && k.users > 1 && asked.After(k.at) {
		k.last, k.at = rec, asked
	}
}

// noteSaved is note for a record that was saved, and calls those who may find their
// token in it.
func (g *gates) noteSaved(id gateID, rec Record, asked time.Time) {
	g.note(id, rec, asked)
	for _, a := range g.called(id) {
		a.recordSaved()
	}
}

// called takes those who are to hear of a save from those who have arrived.
func (g *gates) called(id gateID) (next []arrival) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.open[id]; k != nil {
		n := min(len(k.arrived), maxCalled)
		next, k.arrived = k.arrived[:n:n], k.arrived[n:]
	}
	return next
}

func (g *gates) use(id gateID, a arrival) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.open[id]
	if k == nil {
		k = &gate{gates: g, id: id, pass: make(chan struct{}, 1)}
		g.open[id] = k
	}
	k.users++
	if a != nil {
		k.arrived = append(k.arrived, a)
	}
	return k
}

func (k *gate) unuse() {
	k.gates.mu.Lock()
	defer k.gates.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(k.gates.open, k.id)
	}
}

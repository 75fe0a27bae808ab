package core

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core/internal/turn"
)

// Locator tells which store a backend is. If two backends of one process have equal
// places (==), they keep the same records under the same keys, in the same form: what one
// loads, the other would load. Stores on them then refresh a record one at a time, and
// give each other the records that they found. A place is comparable, for example a
// pointer to the client together with the prefix. It includes everything in which clients
// differ.
//
// A backend that is no Locator has a place of its own.
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

// gates admit one refresh of a record at a time in the process, because all queries and
// claims of one record share its refresh tokens. A refresh that waited at a gate gets the
// record that was loaded or saved meanwhile.
//
// The gates belong to the process, so that several Stores with one place work like one
// Store.
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
	pass  chan struct{} // holds a value while a refresh is inside

	// Guarded by gates.mu.
	users   int       // the refresh inside, and the refreshes that wait
	arrived []arrival // the refreshes that wait for something else before they enter
	last    Record    // the record that was loaded or saved last
	at      time.Time // when last was asked for; zero if there is no last
}

// arrival is a refresh that has come to a gate, and waits for something else before it
// enters.
type arrival interface {
	// recordSaved says that a new record can be handed over.
	recordSaved()
}

// maxCalled limits how many refreshes are told of a save. Usually there are as many as
// stores with one place and queries of one user. If many users share a record, most of
// their refreshes would find no token in it.
const maxCalled = 16

// passage is the way of one refresh through a record's gate.
type passage struct {
	gate  *gate
	who   arrival   // the refresh; may be nil
	since time.Time // when the refresh came to the gate
	done  func()    // gives back the turn at the store; nil before ask
}

// arrive brings a refresh to a gate. From now on, records that other refreshes load or save
// are handed over to it. The caller must call enter, even if the caller's time is over. If a
// is nil, the refresh waits for the gate alone.
func (g *gates) arrive(p *passage, id gateID, a arrival) {
	p.who, p.since = a, time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.open[id]
	if k == nil {
		k = &gate{gates: g, id: id, pass: make(chan struct{}, 1)}
		g.open[id] = k
	}
	k.users++
	p.gate = k
	if a != nil {
		k.arrived = append(k.arrived, a)
	}
}

// enter waits until no other refresh is inside the gate. After an error, the passage has
// ended.
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

// waitsAtTheGate notes that the passage waits for nothing else.
func (p *passage) waitsAtTheGate() {
	k := p.gate
	k.gates.mu.Lock()
	defer k.gates.mu.Unlock()
	switch i := slices.Index(k.arrived, p.who); i {
	case -1:
	case 0: // the usual case; there may be thousands
		k.arrived = k.arrived[1:]
	default:
		k.arrived = slices.Delete(k.arrived, i, i+1)
	}
}

// maxAsking limits how many refreshes of the process are between their first question to
// one store and their request to the provider. If thousands were, the provider would get
// its first request late, and its answers would be saved late.
const maxAsking = 64

// asking names the resource of these turns for package turn.
type asking struct{ place any }

// ask waits for the refresh's turn to ask the store for the record and its lease; its error
// is ctx's. It waits for stallTime at most: by then the store doesn't answer the other
// refreshes, but may answer this one. Only the first call waits.
func (p *passage) ask(ctx context.Context) error {
	if p.done != nil {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, stallTime)
	defer cancel()
	done, err := turn.Take(bounded, asking{p.gate.id.place}, maxAsking)
	switch {
	case err == nil:
		p.done = sync.OnceFunc(done)
	case ctx.Err() == nil:
		p.done = func() {}
	}
	return ctx.Err()
}

// answered gives the turn back, before the refresh waits for the provider or for another
// process.
func (p *passage) answered() {
	if p.done != nil {
		p.done()
	}
}

func (p *passage) leave() {
	p.answered()
	<-p.gate.pass
	p.gate.unuse()
}

// handedOver returns the record that another refresh loaded or saved since this one came to
// the gate, and the time when it was asked for. If ok is true, no load is needed.
func (p *passage) handedOver() (rec Record, at time.Time, ok bool) {
	p.gate.gates.mu.Lock()
	defer p.gate.gates.mu.Unlock()
	return p.gate.last, p.gate.at, p.gate.at.After(p.since)
}

// note gives a record to the refreshes that wait at its gate. The record is as it was at
// some time after asked. The refreshes share its bytes, and don't change them.
func (g *gates) note(id gateID, rec Record, asked time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.open[id]; k != nil {
		k.note(rec, asked)
	}
}

// note is gates.note, with gates.mu held.
func (k *gate) note(rec Record, asked time.Time) {
	if k.users > 1 && asked.After(k.at) {
		k.last, k.at = rec, asked
	}
}

// noteSaved is note for a record that was saved. It also calls recordSaved of refreshes
// that may find their token in the record.
func (g *gates) noteSaved(id gateID, rec Record, asked time.Time) {
	for _, a := range g.saved(id, rec, asked) {
		a.recordSaved()
	}
}

// saved notes a record, removes the refreshes that are told of the save from those that
// have arrived, and returns them.
func (g *gates) saved(id gateID, rec Record, asked time.Time) (next []arrival) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.open[id]; k != nil {
		k.note(rec, asked)
		n := min(len(k.arrived), maxCalled)
		next, k.arrived = k.arrived[:n:n], k.arrived[n:]
	}
	return next
}

func (k *gate) unuse() {
	k.gates.mu.Lock()
	defer k.gates.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(k.gates.open, k.id)
	}
}

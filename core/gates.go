package core

import (
	"context"
	"reflect"
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
	pass chan struct{} // holds a value while somebody is within

	// Guarded by gates.mu.
	users int // those within, and those who wait
	last  Record
	at    time.Time // when last was asked for; zero if there is none
}

// passage is one who is within a gate.
type passage struct {
	gates *gates
	id    gateID
	gate  *gate
	since time.Time // when it came to the gate
}

// enter waits until nobody else is within key's gate.
func (g *gates) enter(ctx context.Context, id gateID) (*passage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	p := &passage{gates: g, id: id, gate: g.use(id), since: time.Now()}
	select {
	case p.gate.pass <- struct{}{}:
		return p, nil
	case <-ctx.Done():
		p.unuse()
		return nil, ctx.Err()
	}
}

func (p *passage) leave() {
	<-p.gate.pass
	p.unuse()
}

// handedOver returns the record as somebody else found it or left it since this
// one came to the gate: it need not be loaded then.
func (p *passage) handedOver() (rec Record, ok bool) {
	p.gates.mu.Lock()
	defer p.gates.mu.Unlock()
	return p.gate.last, p.gate.at.After(p.since)
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

func (g *gates) use(id gateID) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.open[id]
	if k == nil {
		k = &gate{pass: make(chan struct{}, 1)}
		g.open[id] = k
	}
	k.users++
	return k
}

func (p *passage) unuse() {
	p.gates.mu.Lock()
	defer p.gates.mu.Unlock()
	if p.gate.users--; p.gate.users == 0 {
		delete(p.gates.open, p.id)
	}
}

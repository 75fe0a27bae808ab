package core

import (
	"context"
	"sync"
)

// work counts what Flush waits for: refreshes and saves in the background. The
// zero value is ready for use.
type work struct {
	mu      sync.Mutex
	running int
	idle    chan struct{} // closed when running falls to zero
}

// begin counts one more, until the returned function is called.
func (w *work) begin() (end func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running++
	if w.running == 1 {
		w.idle = make(chan struct{})
	}
	return w.end
}

func (w *work) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running--; w.running == 0 {
		close(w.idle)
	}
}

// wait returns when nothing is running, or ctx's error.
func (w *work) wait(ctx context.Context) error {
	w.mu.Lock()
	idle, running := w.idle, w.running
	w.mu.Unlock()
	if running == 0 {
		return ctx.Err()
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gates admit one refresh of a record at a time, because all queries and claims
// of one record share its refresh tokens. The zero value is ready for use.
type gates struct {
	mu   sync.Mutex
	open map[string]*gate
}

type gate struct {
	users int           // guarded by gates.mu: those within, and those who wait
	pass  chan struct{} // holds a value while somebody is within
}

// enter waits until nobody else is within key's gate. The returned function
// leaves it.
func (g *gates) enter(ctx context.Context, key string) (leave func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k := g.use(key)
	select {
	case k.pass <- struct{}{}:
		return func() {
			<-k.pass
			g.unuse(key, k)
		}, nil
	case <-ctx.Done():
		g.unuse(key, k)
		return nil, ctx.Err()
	}
}

func (g *gates) use(key string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = make(map[string]*gate)
	}
	k := g.open[key]
	if k == nil {
		k = &gate{pass: make(chan struct{}, 1)}
		g.open[key] = k
	}
	k.users++
	return k
}

func (g *gates) unuse(key string, k *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(g.open, key)
	}
}

package bitwarden

import (
	"context"
	"sync"
)

// turns has those who change one key's record do so one after the other, from
// the look at the version to the write.
type turns struct {
	mu    sync.Mutex
	taken map[string]chan struct{} // by key; closed at the end of the turn
}

// take returns when it is the caller's turn, or with ctx's error.
func (t *turns) take(ctx context.Context, key string) (end func(), err error) {
	for {
		t.mu.Lock()
		taken, busy := t.taken[key]
		if !busy {
			over := make(chan struct{})
			t.taken[key] = over
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.taken, key)
				t.mu.Unlock()
				close(over)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-taken:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

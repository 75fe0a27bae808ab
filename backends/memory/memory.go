// Package memory keeps token records in the memory of one process: what tests
// and short-lived programs use. It has everything a shared store has
// (versions, leases, waiting), and forgets all of it when the process ends.
//
//	backend, err := memory.New(memory.Options{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend)
package memory

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Options configures a [Backend]. There is nothing to configure so far.
type Options struct{}

// Backend is a [core.TokenBackend] over a map. Two Backends share nothing:
// those who are to share records share the Backend.
type Backend struct {
	mu      sync.RWMutex
	records map[string]*record // pointers, where fmt stops when it meets a Backend in a field it can't call methods on
	saves   uint64             // ever made, over all keys: the versions count them

	leases backend.LocalLeases
}

type record struct {
	data     func() []byte // never handed out, never changed; a function, because reflection can't look into one
	version  core.Version
	modified time.Time
}

// origin names the backend in its errors.
const origin backend.Origin = "memory"

var (
	_ core.TokenBackend = (*Backend)(nil)
	_ core.Leaser       = (*Backend)(nil)
	_ core.Watcher      = (*Backend)(nil)
	_ core.Lister       = (*Backend)(nil)
	_ core.Pinger       = (*Backend)(nil)
	_ core.Prober       = (*Backend)(nil)
)

// New returns an empty backend. Its error is always nil; it is there because
// other stores have something to refuse.
func New(Options) (*Backend, error) {
	return &Backend{records: make(map[string]*record)}, nil
}

// Format prints how many records there are, whatever the verb: without it,
// fmt would print the records themselves.
func (b *Backend) Format(f fmt.State, _ rune) {
	if b == nil {
		io.WriteString(f, "memory.Backend(nil)")
		return
	}
	b.mu.RLock()
	n := len(b.records)
	b.mu.RUnlock()
	fmt.Fprintf(f, "memory.Backend(records=%d)", n)
}

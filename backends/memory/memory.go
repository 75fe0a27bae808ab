// Package memory keeps token records in the memory of one process, for tests and
// short-lived programs. It has everything that a shared store has (versions, leases,
// waiting). Its records end with the process.
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

// Backend is a [core.TokenBackend] on a map. Two Backends share nothing. To share
// records, share the Backend.
type Backend struct {
	mu      sync.RWMutex
	records map[string]*record // pointers, at which fmt stops when it prints a field that is not exported
	saves   uint64             // the number of saves of all keys, by which versions are made

	leases backend.LocalLeases
}

type record struct {
	data     func() []byte // never given to a caller, never changed; a function, because reflection can't look into one
	version  core.Version
	modified time.Time
}

// origin names the backend in its errors.
const origin backend.Origin = "memory"

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Prober         = (*Backend)(nil)
)

// New returns an empty backend. Its error is always nil; it is there because other stores
// can refuse their options.
func New(Options) (*Backend, error) {
	return &Backend{records: make(map[string]*record)}, nil
}

// Format prints the number of records, whatever the verb. Without it, fmt would print the
// records themselves.
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

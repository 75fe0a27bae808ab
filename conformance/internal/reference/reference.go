// Package reference is a correct backend in memory, with every capability. The suite's
// own tests run with it, and with copies that are broken in many ways.
package reference

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// ErrOutage is the error of operations after Fail.
var ErrOutage = errors.New("the store can't be reached")

// ErrClosed is the error of a closed handle.
var ErrClosed = errors.New("the handle is closed")

// Store is shared by its handles, as a server is shared by its clients.
type Store struct {
	MaxSize int // 0: no limit

	mu      sync.Mutex
	counter int
	records map[string]core.Record
	leases  map[string]*lease
	ahead   time.Duration // of the clock on the wall
	failing int
	changed chan struct{} // closed when a waiter should look again
}

// New returns an empty store.
func New() *Store {
	return &Store{
		records: make(map[string]core.Record),
		leases:  make(map[string]*lease),
		changed: make(chan struct{}),
	}
}

// Open returns one more handle.
func (s *Store) Open() *Backend { return &Backend{store: s} }

// Corrupt cuts the record short, to nothing.
func (s *Store) Corrupt(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.records[key]
	rec.Data = nil
	s.put(key, rec)
}

// Raw returns the stored bytes.
func (s *Store) Raw(key string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.records[key].Data)
}

// Advance moves the clock.
func (s *Store) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
	s.wake()
}

// Fail makes the next n operations fail; all, if n is negative.
func (s *Store) Fail(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = n
}

// The caller of the functions below holds s.mu.

func (s *Store) put(key string, rec core.Record) core.Version {
	s.counter++
	rec.Version = core.Version("v" + strconv.Itoa(s.counter))
	rec.Modified = s.now()
	s.records[key] = rec
	s.wake()
	return rec.Version
}

func (s *Store) version(key string) core.Version {
	if rec, ok := s.records[key]; ok {
		return rec.Version
	}
	return core.Absent
}

func (s *Store) now() time.Time { return time.Now().Add(s.ahead) }

func (s *Store) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Store) holder(key string) *lease {
	if l := s.leases[key]; l != nil && s.now().Before(l.expires) {
		return l
	}
	return nil
}

// Backend is one handle on a Store.
type Backend struct {
	store  *Store
	closed bool // guarded by store.mu
}

// String prints the backend without its records.
func (b *Backend) String() string { return "reference.Backend" }

// GoString is String, for %#v.
func (b *Backend) GoString() string { return b.String() }

// begin is the first step of every operation on a key. It returns with the store locked.
func (b *Backend) begin(ctx context.Context, op, key string) (end func(), err error) {
	fail := func(err error) (func(), error) {
		return nil, &core.Error{Op: op, Backend: "reference", Key: key, Err: err}
	}
	if err := core.ValidateKey(key); err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	b.store.mu.Lock()
	if err := b.reach(); err != nil {
		b.store.mu.Unlock()
		return fail(err)
	}
	return b.store.mu.Unlock, nil
}

func (b *Backend) reach() error {
	if b.closed {
		return ErrClosed
	}
	if b.store.failing != 0 {
		b.store.failing = max(b.store.failing-1, -1)
		return ErrOutage
	}
	return nil
}

func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	end, err := b.begin(ctx, "load", key)
	if err != nil {
		return core.Record{}, err
	}
	defer end()
	rec, ok := b.store.records[key]
	switch {
	case !ok:
		return core.Record{}, &core.Error{Op: "load", Backend: "reference", Key: key, Err: core.ErrNotFound}
	case len(rec.Data) == 0:
		return core.Record{}, &core.Error{Op: "load", Backend: "reference", Key: key, Err: core.ErrCorrupt}
	}
	rec.Data = bytes.Clone(rec.Data)
	return rec, nil
}

func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	end, err := b.begin(ctx, "save", key)
	if err != nil {
		return "", err
	}
	defer end()
	refuse := func(err error) (core.Version, error) {
		return "", &core.Error{Op: "save", Backend: "reference", Key: key, Err: err}
	}
	switch {
	case len(rec.Data) == 0:
		return refuse(fmt.Errorf("%w: no data", core.ErrCorrupt))
	case b.store.MaxSize > 0 && len(rec.Data) > b.store.MaxSize:
		return refuse(core.ErrTooLarge)
	case rec.Version != core.AnyVersion && rec.Version != b.store.version(key):
		return refuse(core.ErrConflict)
	}
	return b.store.put(key, core.Record{Data: bytes.Clone(rec.Data)}), nil
}

func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	end, err := b.begin(ctx, "check", key)
	if err != nil {
		return false, err
	}
	defer end()
	_, ok := b.store.records[key]
	return ok, nil
}

func (b *Backend) Delete(ctx context.Context, key string) error {
	end, err := b.begin(ctx, "delete", key)
	if err != nil {
		return err
	}
	defer end()
	delete(b.store.records, key)
	b.store.wake()
	return nil
}

func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	end, err := b.begin(ctx, "acquire", key)
	if err != nil {
		return nil, err
	}
	defer end()
	if b.store.holder(key) != nil {
		return nil, &core.Error{Op: "acquire", Backend: "reference", Key: key, Err: core.ErrLeaseHeld}
	}
	l := &lease{b: b, key: key, expires: b.store.now().Add(ttl)}
	b.store.leases[key] = l
	return l, nil
}

type lease struct {
	b       *Backend
	key     string
	expires time.Time
}

func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	end, err := l.b.begin(ctx, "renew", l.key)
	if err != nil {
		return err
	}
	defer end()
	if l.b.store.holder(l.key) != l {
		return &core.Error{Op: "renew", Backend: "reference", Key: l.key, Err: core.ErrLeaseLost}
	}
	l.expires = l.b.store.now().Add(ttl)
	return nil
}

func (l *lease) Release(ctx context.Context) error {
	end, err := l.b.begin(ctx, "release", l.key)
	if err != nil {
		return err
	}
	defer end()
	if l.b.store.holder(l.key) != l {
		return &core.Error{Op: "release", Backend: "reference", Key: l.key, Err: core.ErrLeaseLost}
	}
	delete(l.b.store.leases, l.key)
	l.b.store.wake()
	return nil
}

func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	for {
		end, err := b.begin(ctx, "wait", key)
		if err != nil {
			return err
		}
		holder, changed := b.store.holder(key), b.store.changed
		if holder == nil || b.store.version(key) != seen {
			end()
			return nil
		}
		expiry := time.NewTimer(holder.expires.Sub(b.store.now()))
		end()
		select {
		case <-changed:
		case <-expiry.C:
		case <-ctx.Done():
		}
		expiry.Stop()
	}
}

func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		end, err := b.begin(ctx, "list", "-")
		if err != nil {
			yield("", err)
			return
		}
		keys := slices.Collect(maps.Keys(b.store.records))
		end()
		for _, key := range keys {
			if !yield(key, nil) {
				return
			}
		}
	}
}

func (b *Backend) Ping(ctx context.Context) error {
	end, err := b.begin(ctx, "ping", "-")
	if err != nil {
		return err
	}
	end()
	return nil
}

func (b *Backend) MaxSize() int { return b.store.MaxSize }

// Close closes the handle, not the store.
func (b *Backend) Close() error {
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	b.closed = true
	return nil
}

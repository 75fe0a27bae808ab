package backend_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

const origin backend.Origin = "shelf"

// Shelf is a whole backend, for the goroutines of one process.
type Shelf struct {
	mu      sync.Mutex
	records map[string]core.Record
	saves   int
	leases  backend.LocalLeases
}

const maxSize = 1 << 20

func (s *Shelf) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, origin.Op("load", key), func() (core.Record, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		rec, ok := s.records[key]
		if !ok {
			return core.Record{}, core.ErrNotFound
		}
		rec.Data = bytes.Clone(rec.Data)
		return rec, nil
	})
}

func (s *Shelf) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, origin.Op("check", key), func() (bool, error) {
		return s.version(key) != core.Absent, nil
	})
}

func (s *Shelf) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, origin.SaveOp(key, rec, maxSize), func() (core.Version, error) {
		defer s.leases.Touch(key)
		s.mu.Lock()
		defer s.mu.Unlock()
		if rec.Version != core.AnyVersion && rec.Version != s.records[key].Version {
			return "", core.ErrConflict
		}
		s.saves++
		version := core.Version(strconv.Itoa(s.saves))
		s.records[key] = core.Record{Data: bytes.Clone(rec.Data), Version: version}
		return version, nil
	})
}

func (s *Shelf) MaxSize() int { return maxSize }

func (s *Shelf) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error {
		defer s.leases.Touch(key)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.records, key)
		return nil
	})
}

func (s *Shelf) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.AcquireLocal(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
		return s.leases.Acquire(ctx, key, ttl)
	})
}

func (s *Shelf) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, s, s, key, req)
}

func (s *Shelf) Wait(ctx context.Context, key string, seen core.Version) error {
	return backend.Wait(ctx, origin.Op("wait", key), seen, s.leases.Watch(key, func() (core.Version, error) {
		return s.version(key), nil
	}))
}

func (s *Shelf) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		s.mu.Lock()
		keys := slices.Collect(maps.Keys(s.records))
		s.mu.Unlock() // the loop's body may use the backend
		for _, key := range keys {
			if !yield(key) {
				break
			}
		}
		return nil
	})
}

func (s *Shelf) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error { return nil })
}

func (s *Shelf) version(key string) core.Version {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.records[key].Version
}

func newShelf() *Shelf { return &Shelf{records: make(map[string]core.Record)} }

func Example() {
	ctx := context.Background()
	shelf := newShelf()
	_, err := shelf.Save(ctx, "ana", core.Record{Data: []byte("{}")})
	fmt.Println(err)
	_, err = shelf.Save(ctx, "ana", core.Record{Data: []byte("{}")})
	fmt.Println(err)
	_, err = shelf.Load(ctx, "bob")
	fmt.Println(err)
	_, err = shelf.Check(ctx, "")
	fmt.Println(err)
	// Output:
	// <nil>
	// shelf: save "ana": version conflict
	// shelf: load "bob": no record
	// shelf: check: invalid key: it is empty
}

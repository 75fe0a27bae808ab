package bbolt

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
)

var harness = conformance.Harness{
	New: func(t conformance.T) conformance.Env {
		db, err := bbolt.Open(filepath.Join(t.TempDir(), "tokens.db"), 0o600, &bbolt.Options{NoSync: true})
		if err != nil {
			t.Fatalf("%v", err)
		}
		t.Cleanup(func() { _ = db.Close() })
		return &store{db: db}
	},
	Want: conformance.Capabilities{CAS: conformance.CASEnforced, Coordinates: true, Lease: true, LeaseExpires: true, Watch: true, List: true, Ping: true},
}

func TestConformance(t *testing.T) { conformance.Run(t, harness) }

func TestBothProfilesHold(t *testing.T) {
	report, err := conformance.Check(t.Context(), harness)
	if err != nil {
		t.Error(err)
	}
	for _, p := range report.Profiles {
		if !p.Holds {
			t.Errorf("profile %s: %s", p.Name, p.Detail)
		}
	}
}

func TestAnAcquireWhoseCallerLeavesKeepsNothing(t *testing.T) {
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "tokens.db"), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b := open(t, db)
	other, err := db.Begin(true) // in front of Acquire
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := b.Acquire(asked{ctx, leave}, "k", time.Hour)
		done <- err
	}()
	<-ctx.Done()
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Acquire = %v", err)
	}
	if _, err := b.Acquire(t.Context(), "k", time.Hour); err != nil {
		t.Errorf("the next Acquire = %v", err)
	}
}

// asked ends once somebody has asked whether it is over.
type asked struct {
	context.Context
	leave func()
}

func (a asked) Err() error {
	defer a.leave()
	return a.Context.Err()
}

type store struct {
	db    *bbolt.DB
	ahead atomic.Int64
}

func open(t conformance.T, db *bbolt.DB) *Backend {
	b, err := New(db)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func (s *store) Open(t conformance.T) core.TokenBackend {
	b := open(t, s.db)
	b.now = func() time.Time { return time.Now().Add(time.Duration(s.ahead.Load())) }
	return b
}

// Advance has leases expire without waiting for them.
func (s *store) Advance(d time.Duration) { s.ahead.Add(int64(d)) }

// Corrupt cuts the record short.
func (s *store) Corrupt(key string) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(records).Put([]byte(key), []byte("torn")) })
}

// Raw returns the stored value, header and all.
func (s *store) Raw(key string) ([]byte, error) {
	return (&Backend{db: s.db}).read(records, key)
}

// Package bbolt keeps token caches in a bbolt database: the worked example of
// docs/writing-a-backend.md. It has everything a backend needs that several
// goroutines share, and passes the suite in both profiles.
//
// bbolt lets one process open a database file at a time, so "another handle"
// is another Backend on the same *bbolt.DB here.
package bbolt

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"github.com/graphtoken/graphtoken/core"
)

// Records and leases live in buckets of their own, so that no key can be
// mistaken for a lease. Any bytes are a name to bbolt: keys need no escaping.
var (
	records = []byte("records")
	leases  = []byte("leases")
)

// Backend is a [core.TokenBackend], with leases, listing and Ping.
type Backend struct {
	db  *bbolt.DB
	now func() time.Time
}

// New returns a backend on db. The buckets are made by the first write.
func New(db *bbolt.DB) *Backend { return &Backend{db: db, now: time.Now} }

// Load returns the record, or core.ErrNotFound.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	var rec core.Record
	err := b.view(ctx, "load", key, func(bucket *bbolt.Bucket) error {
		value := get(bucket, key)
		if value == nil {
			return core.ErrNotFound
		}
		var err error
		rec, err = decode(value)
		return err
	})
	return rec, err
}

// Save compares and stores in one transaction. A version is a number that the
// bucket gives out once, so that a record that was deleted and saved again
// isn't mistaken for the one before.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	var saved uint64
	err := b.update(ctx, "save", key, records, func(bucket *bbolt.Bucket) error {
		if len(rec.Data) == 0 {
			return fmt.Errorf("%w: no data", core.ErrCorrupt)
		}
		if rec.Version != core.AnyVersion && rec.Version != version(get(bucket, key)) {
			return core.ErrConflict
		}
		var err error
		if saved, err = bucket.NextSequence(); err != nil {
			return err
		}
		return bucket.Put([]byte(key), append(binary.BigEndian.AppendUint64(nil, saved), rec.Data...))
	})
	if err != nil {
		return "", err
	}
	return number(saved), nil
}

// Check reports whether something is stored, whole or not.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	var ok bool
	err := b.view(ctx, "check", key, func(bucket *bbolt.Bucket) error {
		ok = get(bucket, key) != nil
		return nil
	})
	return ok, err
}

// Delete removes the record, if there is one.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return b.update(ctx, "delete", key, records, func(bucket *bbolt.Bucket) error {
		return bucket.Delete([]byte(key))
	})
}

// ShouldRefresh has refreshes done once, under the lease.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

// Keys yields the keys as they were when the iteration began. The transaction
// is over by then, so that the loop's body may use the backend.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		var keys []string
		err := b.view(ctx, "list", "*", func(bucket *bbolt.Bucket) error {
			if bucket == nil {
				return nil
			}
			return bucket.ForEach(func(key, _ []byte) error {
				keys = append(keys, string(key))
				return nil
			})
		})
		if err != nil {
			yield("", err)
			return
		}
		for _, key := range keys {
			if !yield(key, nil) {
				return
			}
		}
	}
}

// Ping reports whether the database is open.
func (b *Backend) Ping(ctx context.Context) error {
	return b.view(ctx, "ping", "*", func(*bbolt.Bucket) error { return nil })
}

// Acquire takes the key's lease if it is free or expired. What is stored is
// when it expires and a word that only this lease knows: that it is the
// backend's would not do, since one backend may hold the successor too. The wall
// clock tells the expiry here: a step of it takes a lease or keeps a dead one's.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	l := &lease{b: b, key: key, owner: []byte(rand.Text())}
	err := b.update(ctx, "acquire", key, leases, func(bucket *bbolt.Bucket) error {
		if held := bucket.Get([]byte(key)); held != nil && b.now().Before(expiry(held)) {
			return core.ErrLeaseHeld
		}
		// The transaction may have had to wait: a caller who left meanwhile must not
		// leave a lease behind.
		return cmp.Or(ctx.Err(), l.put(bucket, ttl))
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

type lease struct {
	b     *Backend
	key   string
	owner []byte
}

func (l *lease) Renew(ctx context.Context, ttl time.Duration) error {
	return l.b.update(ctx, "renew", l.key, leases, func(bucket *bbolt.Bucket) error {
		if !l.held(bucket) {
			return core.ErrLeaseLost
		}
		return l.put(bucket, ttl)
	})
}

func (l *lease) Release(ctx context.Context) error {
	return l.b.update(ctx, "release", l.key, leases, func(bucket *bbolt.Bucket) error {
		if !l.held(bucket) {
			return core.ErrLeaseLost
		}
		return bucket.Delete([]byte(l.key))
	})
}

func (l *lease) held(bucket *bbolt.Bucket) bool {
	value := bucket.Get([]byte(l.key))
	return value != nil && bytes.Equal(value[8:], l.owner) && l.b.now().Before(expiry(value))
}

func (l *lease) put(bucket *bbolt.Bucket, ttl time.Duration) error {
	expires := binary.BigEndian.AppendUint64(nil, uint64(l.b.now().Add(ttl).UnixNano()))
	return bucket.Put([]byte(l.key), append(expires, l.owner...))
}

func expiry(value []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(value)))
}

// A stored record is its version, eight bytes, and its data. What bbolt
// returns is good only within its transaction: decode copies.
func decode(value []byte) (core.Record, error) {
	if len(value) <= 8 {
		return core.Record{}, core.ErrCorrupt
	}
	return core.Record{Data: bytes.Clone(value[8:]), Version: version(value)}, nil
}

// version is a stored value's, or core.Absent. A value too short to have one
// has a version that Save never gave out.
func version(value []byte) core.Version {
	switch {
	case value == nil:
		return core.Absent
	case len(value) < 8:
		return "damaged"
	}
	return number(binary.BigEndian.Uint64(value))
}

func number(v uint64) core.Version { return core.Version(strconv.FormatUint(v, 10)) }

// get is bucket.Get, for a bucket that may not have been made yet.
func get(bucket *bbolt.Bucket, key string) []byte {
	if bucket == nil {
		return nil
	}
	return bucket.Get([]byte(key))
}

func (b *Backend) view(ctx context.Context, op, key string, f func(*bbolt.Bucket) error) error {
	return b.do(ctx, op, key, func() error {
		return b.db.View(func(tx *bbolt.Tx) error { return f(tx.Bucket(records)) })
	})
}

func (b *Backend) update(ctx context.Context, op, key string, name []byte, f func(*bbolt.Bucket) error) error {
	return b.do(ctx, op, key, func() error {
		return b.db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			return f(bucket)
		})
	})
}

// do is what all operations have in common. A transaction can't be
// interrupted: the context counts before it begins.
func (b *Backend) do(ctx context.Context, op, key string, f func() error) error {
	err := cmp.Or(core.ValidateKey(key), ctx.Err())
	if err == nil {
		err = f()
	}
	if err != nil {
		return &core.Error{Op: op, Backend: "bbolt", Key: key, Err: err}
	}
	return nil
}

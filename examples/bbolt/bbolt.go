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
	"encoding/hex"
	"iter"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Records and leases live in buckets of their own, so that no key can be
// mistaken for a lease. Any bytes are a name to bbolt: keys need no escaping.
var records, leases = []byte("records"), []byte("leases")

// origin names the backend in its errors.
const origin backend.Origin = "bbolt"

// Backend is a [core.TokenBackend], with leases, waiting, listing and Ping.
type Backend struct {
	db  *bbolt.DB
	now func() time.Time
}

// New returns a backend on db, which stays the caller's to close.
func New(db *bbolt.DB) (*Backend, error) {
	err := db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(records)
		_, also := tx.CreateBucketIfNotExists(leases)
		return cmp.Or(err, also)
	})
	return &Backend{db: db, now: time.Now}, origin.Fail("new", "", err)
}

// Load returns the record, or core.ErrNotFound.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, origin.Op("load", key), func() (core.Record, error) {
		value, err := b.read(records, key)
		if value == nil {
			return core.Record{}, cmp.Or(err, core.ErrNotFound)
		}
		// Of a value that was cut short nothing is left: DoValue says that it is corrupt.
		return core.Record{Data: value[min(header, len(value)):], Version: version(value)}, nil
	})
}

// Check reports whether something is stored, whole or not.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, origin.Op("check", key), func() (bool, error) {
		value, err := b.read(records, key)
		return value != nil, err
	})
}

// Save compares and stores in one transaction. A version is a number that the
// bucket gives out once, so that a record that was deleted and saved again
// isn't mistaken for the one before.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, origin.SaveOp(key, rec, 0), func() (saved core.Version, err error) {
		err = b.update(records, func(bucket *bbolt.Bucket) error {
			if rec.Version != core.AnyVersion && rec.Version != version(bucket.Get([]byte(key))) {
				return core.ErrConflict
			}
			number, err := bucket.NextSequence()
			value := pack(number, rec.Data)
			saved = version(value)
			return cmp.Or(err, bucket.Put([]byte(key), value))
		})
		return saved, err
	})
}

// Delete removes the record, if there is one.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error {
		return b.update(records, func(bucket *bbolt.Bucket) error { return bucket.Delete([]byte(key)) })
	})
}

// Acquire takes the key's lease if it is free or has expired. It stores the expiry
// and a word that only this lease knows; the backend's name would not be enough, since
// one backend may hold the next lease too. The wall clock tells the expiry here, so a
// change of that clock can end a lease early or keep a dead holder's.
func (b *Backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.AcquireLocal(ctx, origin.Op("acquire", key), func(ctx context.Context) (core.Lease, error) {
		l := &lease{b: b, key: key, owner: rand.Text()}
		return l, b.update(leases, func(bucket *bbolt.Bucket) error {
			if b.left(bucket.Get([]byte(key))) > 0 {
				return core.ErrLeaseHeld
			}
			// The transaction may have had to wait: a caller who left meanwhile must not
			// leave a lease behind.
			return cmp.Or(ctx.Err(), l.put(bucket, ttl))
		})
	})
}

type lease struct {
	b          *Backend
	key, owner string
}

// Renew makes the lease last ttl from now.
func (l *lease) Renew(_ context.Context, ttl time.Duration) error {
	return l.whileHeld(func(bucket *bbolt.Bucket) error { return l.put(bucket, ttl) })
}

// Release ends the lease.
func (l *lease) Release(context.Context) error {
	return l.whileHeld(func(bucket *bbolt.Bucket) error { return bucket.Delete([]byte(l.key)) })
}

// whileHeld compares the owner and the expiry in the transaction that changes the lease.
func (l *lease) whileHeld(change func(*bbolt.Bucket) error) error {
	return l.b.update(leases, func(bucket *bbolt.Bucket) error {
		value := bucket.Get([]byte(l.key))
		if l.b.left(value) <= 0 || string(value[header:]) != l.owner {
			return core.ErrLeaseLost
		}
		return change(bucket)
	})
}

func (l *lease) put(bucket *bbolt.Bucket, ttl time.Duration) error {
	return bucket.Put([]byte(l.key), pack(uint64(l.b.now().Add(ttl).UnixNano()), []byte(l.owner)))
}

// ShouldRefresh has refreshes done once, under the lease.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait looks again and again: bbolt wakes nobody.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	return backend.Wait(ctx, origin.Op("wait", key), seen, backend.Watch{Place: b.db, Look: b.look, Last: 100 * time.Millisecond})
}

func (b *Backend) look(_ context.Context, key string) (core.Version, time.Duration, error) {
	held, err := b.read(leases, key)
	stored, also := b.read(records, key)
	return version(stored), b.left(held), cmp.Or(err, also)
}

// Keys yields the keys as they were when the iteration began. The transaction
// is over by then, so that the loop's body may use the backend.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		var keys []string
		err := b.db.View(func(tx *bbolt.Tx) error {
			return tx.Bucket(records).ForEach(func(key, _ []byte) error {
				keys = append(keys, string(key))
				return nil
			})
		})
		slices.Values(keys)(yield)
		return err
	})
}

// Ping reports whether the database is open.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error { return b.db.View(func(*bbolt.Tx) error { return nil }) })
}

// A stored record is its version, eight bytes, and its data; a lease is when it expires,
// in ns since 1970, and its owner.
const header = 8

func pack(number uint64, rest []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, number), rest...)
}

// version is a stored value's, or core.Absent. A value too short to have one
// has a version that Save never gave out.
func version(value []byte) core.Version {
	if value != nil && len(value) < header {
		return "damaged"
	}
	return core.Version(hex.EncodeToString(value[:min(header, len(value))]))
}

// left is how long a lease lasts yet, zero or less if it is free.
func (b *Backend) left(value []byte) time.Duration {
	if len(value) < header {
		return 0
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(value))).Sub(b.now())
}

// read returns a copy, since what bbolt returns is good within its transaction alone.
func (b *Backend) read(name []byte, key string) (value []byte, err error) {
	err = b.db.View(func(tx *bbolt.Tx) error {
		value = bytes.Clone(tx.Bucket(name).Get([]byte(key)))
		return nil
	})
	return value, err
}

func (b *Backend) update(name []byte, f func(*bbolt.Bucket) error) error {
	return b.db.Update(func(tx *bbolt.Tx) error { return f(tx.Bucket(name)) })
}

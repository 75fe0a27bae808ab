package core

import (
	"context"
	"iter"
	"time"
)

// The interfaces below are capabilities: a backend implements those its store
// can honour and no others, and callers find them with [As].

// Leaser grants short exclusive rights to refresh one key.
type Leaser interface {
	// Acquire takes the key's lease for ttl, or returns ErrLeaseHeld at once.
	// A lease whose holder let it expire, or died where the store notices
	// deaths, is free. Leases need no record, and saving needs no lease. As
	// with a TokenBackend's methods, a ctx that is done and an invalid key
	// have no effect but an error. A ctx that ends while the store grants the
	// lease leaves none behind until its ttl: Acquire returns the lease, or
	// sees to it that it is released soon ([Origin.Acquire] does that).
	Acquire(ctx context.Context, key string, ttl time.Duration) (Lease, error)
}

// Lease is held from Acquire until Release, or until its ttl passes without a
// Renew.
type Lease interface {
	// Renew makes the lease last ttl from now. It returns ErrLeaseLost when
	// the lease expired or is somebody else's, and never takes it back.
	Renew(ctx context.Context, ttl time.Duration) error

	// Release frees the lease. It returns ErrLeaseLost when it was no longer
	// held, and then frees nothing: the lease may be a successor's by now.
	Release(ctx context.Context) error
}

// Watcher wakes those who wait for another's refresh.
type Watcher interface {
	// Wait returns nil once the stored version differs from seen (an absent
	// record's is Absent) or the key's lease is free, and ctx's error when
	// ctx is done first.
	Wait(ctx context.Context, key string, seen Version) error
}

// Lister enumerates the keys of stored records, in no particular order. The
// sequence ends after the first error.
type Lister interface {
	Keys(ctx context.Context) iter.Seq2[string, error]
}

// Pinger reports whether the store can be reached and is fit for use.
type Pinger interface {
	Ping(ctx context.Context) error
}

// Prober finds out beforehand whether Save would find a way to store: a login or
// a refresh that asks first doesn't spend a code or a refresh token whose
// successor then can't be kept.
type Prober interface {
	// Probe tries whether the key's record could be saved, without changing what is
	// stored, and returns what stands in the way: ErrReadOnly, or the store's own
	// error. It needs no record. Its nil is no promise: another process can fill
	// the disk in the next moment.
	Probe(ctx context.Context, key string) error
}

// SizeLimiter tells the largest Record.Data the store holds, in bytes.
type SizeLimiter interface {
	MaxSize() int
}

// Unwrapper is a backend that wraps another.
type Unwrapper interface {
	Unwrap() TokenBackend
}

// As finds the first backend in b's chain of Unwrappers that is a T.
func As[T any](b TokenBackend) (T, bool) {
	for b != nil {
		if t, ok := b.(T); ok {
			return t, true
		}
		if h, ok := b.(interface{ hides(capability any) bool }); ok && h.hides((*T)(nil)) {
			break
		}
		u, ok := b.(Unwrapper)
		if !ok {
			break
		}
		b = u.Unwrap()
	}
	var none T
	return none, false
}

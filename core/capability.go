package core

import (
	"context"
	"iter"
	"time"
)

// The interfaces below are capabilities. A backend implements those that its store can
// honour, and no others. Callers find them with [As].

// Leaser grants the exclusive right to refresh one key for a short time.
type Leaser interface {
	// Acquire takes the key's lease for ttl, or returns ErrLeaseHeld at once. A lease is
	// free if its holder let it expire, or died where the store notices deaths. A lease
	// needs no record, and Save needs no lease.
	//
	// If ctx is done or the key is invalid, Acquire returns the error and has no other
	// effect. If ctx ends while the store grants the lease, Acquire returns the lease, or
	// makes sure that it is released soon; package backend's Acquire does that.
	Acquire(ctx context.Context, key string, ttl time.Duration) (Lease, error)
}

// Lease is held from Acquire until Release, or until its ttl has passed without a Renew.
type Lease interface {
	// Renew makes the lease last ttl from now on. If the lease has expired or another
	// process has it, Renew returns ErrLeaseLost and doesn't take the lease back.
	Renew(ctx context.Context, ttl time.Duration) error

	// Release frees the lease. If this process no longer holds it, Release returns
	// ErrLeaseLost and frees nothing: another process may have the lease by now.
	Release(ctx context.Context) error
}

// Watcher tells a waiter when another process may have finished its refresh.
type Watcher interface {
	// Wait returns nil once the stored version differs from seen (Absent stands for no
	// record) or the key's lease is free. If ctx is done first, it returns ctx's error.
	Wait(ctx context.Context, key string, seen Version) error
}

// Lister lists the keys of stored records, in no particular order. The sequence ends
// after the first error.
type Lister interface {
	Keys(ctx context.Context) iter.Seq2[string, error]
}

// Pinger reports whether the store can be reached and is fit for use.
type Pinger interface {
	Ping(ctx context.Context) error
}

// Prober finds out whether Save could store a record, before something is obtained that
// has to be saved. A sign-in or a refresh that asks first doesn't spend a code or a
// refresh token for nothing.
type Prober interface {
	// Probe tries whether the key's record could be saved, without a change to what is
	// stored. It returns the obstacle: ErrReadOnly, or the store's own error. No record
	// has to exist. Nil is no promise: another process can fill the disk in the next
	// moment.
	Probe(ctx context.Context, key string) error
}

// SizeLimiter returns the largest Record.Data that the store can hold, in bytes.
type SizeLimiter interface {
	MaxSize() int
}

// SpaceReporter tells how full the store is, as far as the store itself knows.
type SpaceReporter interface {
	// Space returns how many bytes the store uses, and how many it may use; zero means
	// that it has no limit of its own. A store of several servers answers for the fullest
	// one. The error is the store's, for example if the caller may not ask.
	Space(ctx context.Context) (used, most int64, err error)
}

// Unwrapper is a backend that wraps another.
type Unwrapper interface {
	Unwrap() TokenBackend
}

// As finds the first backend that is a T: b itself, or one that b wraps (see
// [Unwrapper]).
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

package core

import (
	"context"
	"fmt"
	"time"
)

// RefreshRequest is what ShouldRefresh is asked.
type RefreshRequest struct {
	// Seen is the version whose token isn't good enough. AnyVersion asks for a refresh of
	// whatever is stored, and Absent says that no record was found.
	Seen Version

	// Refresh obtains a fresh token and saves it before it returns. It is called under
	// the lease, with the record as it is then (Record{Version: Absent} if there is
	// none).
	//
	// It is called once, with one exception: if it finds, before it asks the provider,
	// that the lease is lost, it returns ErrLeaseLost and is called again under another
	// lease. It returns ErrNotNeeded if the current record is good enough. Its context
	// doesn't end with the caller's, because the provider's answer must not be lost:
	// Refresh limits its own time.
	//
	// If Refresh is nil, the request is a question only: nothing is refreshed and no
	// lease is kept.
	Refresh func(ctx context.Context, current Record) error

	// LeaseTTL is how long the lease lasts after its holder stopped renewing it. Zero or
	// less means DefaultLeaseTTL.
	LeaseTTL time.Duration

	// Timeout is the longest time that Refresh takes. The lease isn't renewed for longer,
	// so that a Refresh that hangs doesn't make every process wait. Zero or less means
	// DefaultHoldTime.
	Timeout time.Duration

	found    func(Record)                                               // told what was found, with RefreshedElsewhere
	observed func(ctx context.Context, name EventName, d time.Duration) // told of waits and takeovers
	waits    func()                                                     // called before each wait for another process
}

// DefaultHoldTime limits how long a lease is renewed for a RefreshRequest without a
// Timeout.
const DefaultHoldTime = 15 * time.Minute

// DefaultLeaseTTL is the lease of a RefreshRequest without a LeaseTTL. It is longer than
// DefaultRefreshTimeout, so that a holder that can't renew still finishes its request to
// the provider under its lease.
const DefaultLeaseTTL = 45 * time.Second

// RefreshDecision is the answer of ShouldRefresh. The zero value is invalid: it comes
// with an error only.
type RefreshDecision uint8

const (
	// RefreshNow: the caller refreshes and saves (True in python-o365). Only
	// Uncoordinated backends answer this, and any backend if Refresh is nil.
	RefreshNow RefreshDecision = iota + 1

	// RefreshedElsewhere: the record has changed since Seen; load it again (False in
	// python-o365).
	RefreshedElsewhere

	// RefreshedHere: Refresh ran inside ShouldRefresh and saved (None in python-o365).
	RefreshedHere
)

func (d RefreshDecision) String() string {
	switch d {
	case RefreshNow:
		return "RefreshNow"
	case RefreshedElsewhere:
		return "RefreshedElsewhere"
	case RefreshedHere:
		return "RefreshedHere"
	}
	return fmt.Sprintf("RefreshDecision(%d)", uint8(d))
}

// Uncoordinated is embedded in a backend whose store can't coordinate: every caller then
// refreshes by itself. [WithLeaser] adds coordination from another store.
type Uncoordinated struct{}

// ShouldRefresh answers RefreshNow.
func (Uncoordinated) ShouldRefresh(ctx context.Context, key string, _ RefreshRequest) (RefreshDecision, error) {
	if err := ValidateKey(key); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	return RefreshNow, nil
}

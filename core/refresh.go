package core

import (
	"context"
	"fmt"
	"time"
)

// RefreshRequest is the question ShouldRefresh answers.
type RefreshRequest struct {
	// Seen is the version the caller found wanting: AnyVersion refreshes
	// whatever is stored, Absent says that nothing was found.
	Seen Version

	// Refresh obtains a fresh token and saves it, by itself and before it
	// returns; it is called under the lease, with the record as it is then
	// (Record{Version: Absent} where there is none), and once: again only after it
	// returned ErrLeaseLost because it found, before it asked the provider, that
	// the lease was lost. Its
	// context is never cancelled by the caller's, because a provider's answer
	// must not be thrown away: Refresh bounds its own time. It returns
	// ErrNotNeeded when the current record turns out to be good.
	//
	// A nil Refresh makes the request a question only: nothing is refreshed
	// and no lease is kept.
	Refresh func(ctx context.Context, current Record) error

	// LeaseTTL is how long the lease outlives a holder that stopped renewing
	// it. Zero, or less, means DefaultLeaseTTL.
	LeaseTTL time.Duration

	// Timeout is how long Refresh takes at most: the lease is not renewed for
	// longer, so that a Refresh that hangs doesn't keep every process waiting.
	// Zero, or less, means DefaultHoldTime.
	Timeout time.Duration

	found func(Record) // told what was found, with RefreshedElsewhere
}

// DefaultHoldTime bounds how long a lease is renewed for a RefreshRequest that
// says nothing of it.
const DefaultHoldTime = 15 * time.Minute

// DefaultLeaseTTL is the lease of a RefreshRequest that names none. It is
// longer than DefaultRefreshTimeout, so that a holder that can't renew still
// finishes its request to the provider under its lease.
const DefaultLeaseTTL = 45 * time.Second

// RefreshDecision is ShouldRefresh's answer. The zero value is invalid: it
// comes with an error only.
type RefreshDecision uint8

const (
	// RefreshNow: the caller refreshes and saves (True in python-o365). Only
	// Uncoordinated backends say so, and any backend whose Refresh is nil.
	RefreshNow RefreshDecision = iota + 1

	// RefreshedElsewhere: the record changed since Seen; load it again (False
	// in python-o365).
	RefreshedElsewhere

	// RefreshedHere: Refresh ran inside ShouldRefresh, and saved (None in
	// python-o365).
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

// Uncoordinated, embedded in a backend, is the ShouldRefresh of a store that
// can't coordinate: every caller refreshes by itself. [WithLeaser] adds
// coordination from another store.
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

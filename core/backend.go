package core

import (
	"context"
	"time"
)

// Version names one state of a stored record. A backend makes it up as it
// likes (a counter, an ETag, a digest); nobody else looks inside. The version of
// a stored record is never empty and never begins with a NUL byte.
type Version string

const (
	// Absent says that nothing is stored. It is the zero Version, so that a
	// Record without a version creates and never overwrites: as Record.Version it
	// asks Save to store only where nothing is stored yet, and as
	// RefreshRequest.Seen it says that nothing was found.
	Absent Version = ""

	// AnyVersion asks Save to overwrite whatever is stored, and, as
	// RefreshRequest.Seen, to refresh whatever is stored. It must be written out.
	AnyVersion Version = "\x00any"
)

// Record is one stored token cache as a backend sees it.
type Record struct {
	// Data is opaque to the backend and never empty when it is saved.
	Data Data

	// Version is set by Load and honoured by Save: Absent creates, AnyVersion
	// overwrites, any other value replaces that very version.
	Version Version

	// Modified is when the record was last saved, by the backend's own
	// clock; it is zero where the store keeps no such time. Save ignores it.
	Modified time.Time
}

// TokenBackend stores records by key. Implementations are safe for concurrent
// use; slices passed in are not retained, and slices returned belong to the
// caller.
//
// A key is 1 to 150 bytes of UTF-8 without NUL (see [ValidateKey]); every
// method answers any other with [ErrInvalidKey]. Every error is an [*Error]
// that says what was attempted, and wraps what the store's own client said.
// When ctx is already done, a method has no effect and returns its error.
type TokenBackend interface {
	// Load returns the record, or ErrNotFound. A stored value that is empty
	// or torn is ErrCorrupt, an outage is the store's own error: neither is
	// ever reported as ErrNotFound.
	Load(ctx context.Context, key string) (Record, error)

	// Save stores rec.Data and returns its new version, the one that Load will
	// return. It differs from the version before, unless the data is the same
	// and the version a digest of it. Save answers ErrConflict, and changes
	// nothing, when rec.Version is neither AnyVersion nor the stored one;
	// ErrTooLarge when the store can't hold the data; ErrReadOnly when it
	// takes none. Empty data is refused with ErrCorrupt.
	Save(ctx context.Context, key string, rec Record) (Version, error)

	// Check reports whether a record is stored. An outage is an error, never
	// false.
	Check(ctx context.Context, key string) (bool, error)

	// Delete removes the record. That nothing was stored is no error.
	Delete(ctx context.Context, key string) error

	// ShouldRefresh decides who refreshes the token in the record, and where
	// the store can coordinate, has it done exactly once. See
	// [RefreshDecision] for the answers, and [Coordinate] for the algorithm
	// that every coordinated backend calls.
	ShouldRefresh(ctx context.Context, key string, req RefreshRequest) (RefreshDecision, error)
}

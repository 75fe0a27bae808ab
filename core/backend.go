package core

import (
	"context"
	"time"
)

// Version names one state of a stored record. Each backend makes its own versions: a
// counter, an ETag, a digest. Nobody else looks inside a version. The version of a stored
// record is never empty and never begins with a NUL byte.
type Version string

const (
	// Absent means that nothing is stored. It is the zero Version, so a Record without a
	// version creates and never overwrites. As Record.Version it makes Save store only if
	// nothing is stored yet. As RefreshRequest.Seen it says that no record was found.
	Absent Version = ""

	// AnyVersion makes Save overwrite whatever is stored. As RefreshRequest.Seen it asks
	// for a refresh of whatever is stored. It must be written out.
	AnyVersion Version = "\x00any"
)

// Record is one stored token cache as a backend sees it.
type Record struct {
	// Data is opaque to the backend. It is never empty when it is saved.
	Data Data

	// Version is set by Load and honoured by Save. Absent creates, AnyVersion overwrites,
	// and any other value replaces exactly that version.
	Version Version

	// Modified is the time of the last save, by the backend's own clock. It is zero if
	// the store keeps no such time. Save ignores it.
	Modified time.Time
}

// TokenBackend stores records by key. Implementations are safe for concurrent use. They
// don't retain slices that are passed in, and slices that they return belong to the
// caller.
//
// A key is 1 to 150 bytes of UTF-8 without NUL (see [ValidateKey]). For any other key,
// every method returns [ErrInvalidKey]. Every error is an [*Error] that says which
// operation failed, and wraps the error of the store's own client. If ctx is already
// done, a method has no effect and returns ctx's error.
type TokenBackend interface {
	// Load returns the record, or ErrNotFound. A stored value that is empty or cut off is
	// ErrCorrupt. An outage is the store's own error. Neither is ever reported as
	// ErrNotFound.
	Load(ctx context.Context, key string) (Record, error)

	// Save stores rec.Data and returns its new version, which Load will return. The new
	// version differs from the old one, unless the data is the same and the version is a
	// digest of it.
	//
	// If rec.Version is neither AnyVersion nor the stored version, Save changes nothing
	// and returns ErrConflict. It returns ErrTooLarge if the store can't hold the data,
	// ErrReadOnly if the store accepts no writes, and ErrCorrupt if the data is empty.
	Save(ctx context.Context, key string, rec Record) (Version, error)

	// Check reports whether a record is stored. An outage is an error, never false.
	Check(ctx context.Context, key string) (bool, error)

	// Delete removes the record. It is no error if nothing was stored.
	Delete(ctx context.Context, key string) error

	// ShouldRefresh decides which process refreshes the token in the record. If the store
	// can coordinate, the token is refreshed exactly once. [RefreshDecision] explains the
	// answers. [Coordinate] is the algorithm that every coordinated backend calls.
	ShouldRefresh(ctx context.Context, key string, req RefreshRequest) (RefreshDecision, error)
}

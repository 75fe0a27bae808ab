package core

import (
	"errors"
	"strconv"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The errors a caller can act on; test for them with errors.Is. Absent,
// broken and unreachable are three different things: ErrNotFound, one of
// ErrCorrupt and ErrDecrypt, and the store client's own error, which stays
// reachable by errors.As.
var (
	// ErrNotFound: nothing is stored under the key.
	ErrNotFound = errors.New("no record")
	// ErrConflict: the stored version is not the one Save was given.
	ErrConflict = errors.New("version conflict")
	// ErrLeaseHeld: somebody else holds the key's lease.
	ErrLeaseHeld = errors.New("lease held")
	// ErrLeaseLost: the lease expired, or is somebody else's by now.
	ErrLeaseLost = errors.New("lease lost")
	// ErrTooLarge: the record is larger than the store can hold.
	ErrTooLarge = errors.New("record too large")
	// ErrDecrypt: the record can't be decrypted, or is plain where
	// encryption is expected.
	ErrDecrypt = errors.New("cannot decrypt")
	// ErrReadOnly: the store takes no writes.
	ErrReadOnly = errors.New("read-only")
	// ErrUnsafeDirectory: other users can write to the directory that holds the
	// records, or it is another user's. They can plant records and links there.
	ErrUnsafeDirectory = errors.New("unsafe directory")
	// ErrInvalidKey: not a key; see ValidateKey.
	ErrInvalidKey = errors.New("invalid key")
	// ErrReauthRequired: the user must sign in again (invalid_grant in RFC
	// 6749 section 5.2, or nobody signed in yet).
	ErrReauthRequired = errors.New("sign-in required")
	// ErrRefreshedNotSaved: the provider gave new tokens that could not be
	// saved. The store keeps them and saves them as soon as it can; see
	// Store.Flush.
	ErrRefreshedNotSaved = errors.New("refreshed, but not saved")
	// ErrNotNeeded is returned by a refresh closure that found nothing to do.
	ErrNotNeeded = errors.New("refresh not needed")
)

// Errors of package tokencache, named here so that callers need one import.
var (
	// ErrCorrupt: the record is empty, torn or no token cache.
	ErrCorrupt = tokencache.ErrCorrupt
	// ErrLegacyToken: a token of python-o365 before 2.1, which has no place
	// in a token cache.
	ErrLegacyToken = tokencache.ErrLegacyToken
	// ErrAmbiguous: the query fits several users.
	ErrAmbiguous = tokencache.ErrAmbiguous
)

// Error says which operation on which key of which backend failed, like
// [io/fs.PathError]. Err keeps the cause. A store's words may be anybody's, so that
// the text is Printable.
type Error struct {
	Op      string // "load", "save", "check", "delete", "refresh", "acquire", …
	Backend string // "filesystem", "redis", …; "store" where Store found the fault, see FromBackend
	Key     string // the logical key, without prefix; empty where it is about none
	Err     error
}

func (e *Error) Error() string {
	if e.Key == "" {
		return e.Backend + ": " + e.Op + ": " + e.cause()
	}
	return e.Backend + ": " + e.Op + " " + strconv.Quote(e.Key) + ": " + e.cause()
}

func (e *Error) cause() string {
	text := e.Err.Error()
	if lines := (*panicError)(nil); errors.As(e.Err, &lines) {
		return text
	}
	return Printable(text)
}

func (e *Error) Unwrap() error { return e.Err }

// FromBackend reports whether the backend failed. Otherwise [Store] found the
// fault in what the backend gave it: a record that can't be read, a user who
// isn't in it.
func (e *Error) FromBackend() bool { return e.Backend != storeItself }

// storeItself stands in Error.Backend where Store found the fault.
const storeItself = "store"

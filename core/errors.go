package core

import (
	"errors"
	"strconv"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The errors on which a caller can act. Test for them with errors.Is. Absent, broken and
// unreachable are three different errors: ErrNotFound; ErrCorrupt or ErrDecrypt; and the
// store client's own error, which errors.As finds.
var (
	// ErrNotFound: nothing is stored under the key.
	ErrNotFound = errors.New("no record")
	// ErrConflict: the stored version is not the one Save was given.
	ErrConflict = errors.New("version conflict")
	// ErrLeaseHeld: another process or another caller holds the key's lease.
	ErrLeaseHeld = errors.New("lease held")
	// ErrLeaseLost: the lease has expired, or another process has it by now.
	ErrLeaseLost = errors.New("lease lost")
	// ErrTooLarge: the record is larger than the store can hold.
	ErrTooLarge = errors.New("record too large")
	// ErrDecrypt: the record can't be decrypted, or is plain where encryption is expected.
	ErrDecrypt = errors.New("cannot decrypt")
	// ErrReadOnly: the store accepts no writes.
	ErrReadOnly = errors.New("read-only")
	// ErrUnsafeDirectory: other users can write to the directory of the records, or the
	// directory is another user's. They can put records and links there.
	ErrUnsafeDirectory = errors.New("unsafe directory")
	// ErrInvalidKey: the text is no key; see ValidateKey.
	ErrInvalidKey = errors.New("invalid key")
	// ErrReauthRequired: the user has to sign in again (invalid_grant in RFC 6749 section
	// 5.2), or nobody has signed in yet.
	ErrReauthRequired = errors.New("sign-in required")
	// ErrRefreshedNotSaved: the provider issued new tokens that could not be saved. The
	// Store keeps them and uses them. Later calls of TokenSource.Token for the record, or
	// Store.Flush, save them.
	ErrRefreshedNotSaved = errors.New("refreshed, but not saved")
	// ErrNotNeeded: a refresh closure found that no refresh is needed.
	ErrNotNeeded = errors.New("refresh not needed")
)

// The errors of package tokencache, repeated here so that callers need one import.
var (
	// ErrCorrupt: the record is empty, cut off or no token cache.
	ErrCorrupt = tokencache.ErrCorrupt
	// ErrLegacyToken: a token of python-o365 before 2.1, which is no token cache.
	ErrLegacyToken = tokencache.ErrLegacyToken
	// ErrAmbiguous: the query fits several users or providers.
	ErrAmbiguous = tokencache.ErrAmbiguous
)

// Error says which operation on which key of which backend failed, like
// [io/fs.PathError]. Err is the cause. Its text may come from another program, so Error
// prints it with [Printable].
type Error struct {
	Op      string // "load", "save", "check", "delete", "refresh", "acquire", …
	Backend string // "filesystem", "redis", …; "store" if Store found the fault, see FromBackend
	Key     string // the logical key, without prefix; empty if no key is concerned
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

// FromBackend reports whether the backend failed. If not, [Store] found the fault in the
// record that the backend returned: it can't be read, or doesn't have the user.
func (e *Error) FromBackend() bool { return e.Backend != storeItself }

// storeItself is Error.Backend if Store found the fault.
const storeItself = "store"

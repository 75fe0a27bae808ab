// Package filesystem keeps token records as files in a directory, for a laptop, a server,
// or several processes on one machine. A record with a plain key is the file of that
// name, so a file that python-o365 wrote can be used as it is.
//
//	backend, err := filesystem.New(dir, filesystem.Options{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend)
//	cache, version, err := store.Load(ctx, filesystem.DefaultKey)
//
// # The directory
//
// The directory should contain nothing else: [Backend.Keys] lists every regular file as a
// record. Beside the records is a directory ".graphtoken", which no key can name:
//
//	o365_token.txt                     a record
//	.graphtoken/lock-1f                lock of the records whose names hash to 1f
//	.graphtoken/temp-1f                the next record, before it is renamed; or a new lease
//	.graphtoken/leases/o365_token.txt  who refreshes the record, and until when
//
// Lock files stay; their number is limited. If one is removed, it is made again, and a
// lock on the removed file doesn't count. A temporary file is written before the lock is
// taken; if its name is in use, it gets another name, temp-1f.<number>. Files that a killed
// process left are removed by the next save that needs the name, and by the first save of
// every Backend. A lease file is removed with its lease; a dead holder's is replaced by
// the next one.
package filesystem

import (
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/core/backend"
)

// DefaultKey is the file that python-o365's FileSystemTokenBackend uses by default.
const DefaultKey = "o365_token.txt"

// Options configures a [Backend]. The zero value is ready for use.
type Options struct {
	// Prefix begins the name of every file, without escaping, and separates users of one
	// directory. Two Backends see each other's records only if one prefix begins with the
	// other. It names no directory, and has none of the characters that some file system
	// forbids in names: New refuses / \ : * ? " < > | and control characters.
	Prefix string

	// NativeNames makes a key the name of its file, whatever bytes it has, so that
	// records can be used that another program has named, such as "ana@contoso.com
	// token.txt". Only a key that can't be a file's name, such as "..", gets another
	// name. Without NativeNames, bytes outside of [A-Za-z0-9._-] are escaped. All
	// processes that share a directory must have the same setting. If the directory
	// doesn't tell names apart that differ only in case, such keys are one record: use
	// one spelling.
	NativeNames bool

	// NoFileLocks is for file systems that accept file locks but don't enforce them, such
	// as NFS mounted with local locks on several machines. Then the existence of a file
	// is the lock, and a holder's death is noticed only by the time that has passed. All
	// processes that share a directory must have the same setting. If the operating
	// system reports that a file system has no locks, this happens by itself.
	NoFileLocks bool
}

// Backend is a [core.TokenBackend] on a directory. Any number of Backends, in any number
// of processes, can share one.
type Backend struct {
	dir     string
	o       Options
	namings map[bool]backend.Naming // by whether the directory folds case
	casing  atomic.Int32            // a casing

	noFileLocks atomic.Bool
	sweep       sync.Once
	seen        sightings // of holders

	now func() time.Time // leases expire by both of its readings
}

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Locator        = (*Backend)(nil)
	_ core.Prober         = (*Backend)(nil)
)

// New returns the backend of a directory. The first Save makes the directory if it
// doesn't exist. New refuses an empty dir, and a prefix that can't begin a file name
// (core.ErrInvalidKey).
func New(dir string, o Options) (*Backend, error) {
	if dir == "" {
		return nil, origin.Fail("new", "", &fs.PathError{Op: "open", Path: dir, Err: fs.ErrInvalid})
	}
	if err := validatePrefix(o.Prefix); err != nil {
		return nil, origin.Fail("new", o.Prefix, err)
	}
	b := &Backend{
		dir:     filepath.Clean(dir),
		o:       o,
		namings: map[bool]backend.Naming{false: newNaming(o, false), true: newNaming(o, true)},
		now:     time.Now,
	}
	b.noFileLocks.Store(o.NoFileLocks)
	return b, nil
}

// Place implements [core.Locator]. A relative directory is another one after the process
// has changed its working directory.
func (b *Backend) Place() any {
	dir, err := filepath.Abs(b.dir)
	if err != nil {
		return b
	}
	return [...]any{dir, b.o.Prefix, b.o.NativeNames}
}

// origin names the backend in its errors.
const origin backend.Origin = "filesystem"

// with is op, and refuses keys whose names the prefix makes too long.
func (b *Backend) with(op backend.Op) backend.Op {
	op.CheckKey, op.Classify = b.fits, atomicfile.ReadOnly
	return op
}

// Package filesystem keeps token records as files in a directory: what a
// laptop, a server or several processes on one machine use. A record of a
// plain key is the file of that name, so the file that python-o365 wrote is
// read in place.
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
// The directory should hold nothing else: [Backend.Keys] takes every regular
// file for a record. Beside the records lies a directory ".graphtoken", which
// no key can name:
//
//	o365_token.txt                     a record
//	.graphtoken/lock-1f                lock of the records whose names hash to 1f
//	.graphtoken/temp-1f                the next record, before it is renamed
//	.graphtoken/leases/o365_token.txt  who refreshes the record, and until when
//
// Lock files stay; their number is bounded. One that somebody removes is made
// again, and the lock on the old one doesn't count. A temporary is written before the
// lock is taken; where its name is in use it has another one, temp-1f.<number>. What a
// killed process left behind goes with the next save that wants the name, and with the
// first save of every Backend. A lease file goes with its lease; a dead holder's is
// replaced by the next one.
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

// DefaultKey is the file that python-o365's FileSystemTokenBackend uses when
// it is told no other.
const DefaultKey = "o365_token.txt"

// Options configures a [Backend]. The zero value is ready for use.
type Options struct {
	// Prefix begins the name of every file, as it is, and keeps apart those
	// who share a directory: two Backends see each other's records only where
	// the prefix of one begins the prefix of the other. It names no directory
	// and has none of the characters that some file system forbids in names:
	// New refuses / \ : * ? " < > | and control characters.
	Prefix string

	// NativeNames makes a key the name of its file, whatever bytes it has, so that
	// records can be used that another program has named, such as "ana@contoso.com
	// token.txt". Only a key that can't be a file's name, such as "..", gets another
	// name. Without NativeNames, bytes outside of [A-Za-z0-9._-] are escaped. All
	// processes that share a directory must agree on it. Where the directory doesn't
	// tell names apart that differ in case, such keys are one record: use one spelling.
	NativeNames bool

	// NoFileLocks is for file systems that pretend to lock files and don't,
	// such as NFS mounted with local locks on several machines. Then files
	// that exist, or don't, are the locks, and a holder's death is noticed
	// only by the time that passed. All processes that share a directory must
	// agree on it. Where the operating system says that a file system has no
	// locks, this happens by itself.
	NoFileLocks bool
}

// Backend is a [core.TokenBackend] over a directory. Any number of Backends,
// in any number of processes, can share one.
type Backend struct {
	dir     string
	prefix  string
	native  bool
	namings map[bool]backend.Naming // by whether the directory folds case
	casing  atomic.Int32            // a casing

	noFileLocks atomic.Bool
	queues      [stripes]chan struct{} // this Backend's own line in front of each lock file
	sweep       sync.Once
	claims      seenClaims

	now func() time.Time // by both of its readings leases expire
}

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Locator        = (*Backend)(nil)
	_ core.Prober         = (*Backend)(nil)
)

// New returns the backend of a directory, which the first Save makes if it
// isn't there. It refuses an empty dir, and a prefix that can't begin a file
// name (core.ErrInvalidKey).
func New(dir string, o Options) (*Backend, error) {
	if dir == "" {
		return nil, origin.Fail("new", "", &fs.PathError{Op: "open", Path: dir, Err: fs.ErrInvalid})
	}
	if err := validatePrefix(o.Prefix); err != nil {
		return nil, origin.Fail("new", o.Prefix, err)
	}
	b := &Backend{
		dir:    filepath.Clean(dir),
		prefix: o.Prefix,
		native: o.NativeNames,
		now:    time.Now,
		namings: map[bool]backend.Naming{
			false: newNaming(o, false),
			true:  newNaming(o, true),
		},
	}
	b.noFileLocks.Store(o.NoFileLocks)
	for i := range b.queues {
		b.queues[i] = make(chan struct{}, 1)
	}
	return b, nil
}

// Place implements [core.Locator]. A relative directory is another one once the
// process has gone elsewhere.
func (b *Backend) Place() any {
	dir, err := filepath.Abs(b.dir)
	if err != nil {
		return b
	}
	type place struct {
		dir, prefix string
		native      bool
	}
	return place{dir, b.prefix, b.native}
}

// origin names the backend in its errors.
const origin backend.Origin = "filesystem"

// with is op, and refuses keys whose names the prefix makes too long.
func (b *Backend) with(op backend.Op) backend.Op {
	op.CheckKey, op.Classify = b.fits, atomicfile.ReadOnly
	return op
}

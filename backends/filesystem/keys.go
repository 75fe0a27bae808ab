package filesystem

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/core/backend"
)

// maxName is the longest file name of every file system in use.
const maxName = 255

// Keys implements [core.Lister]. Each regular file with the prefix is a record if its
// name could be a key's; so is a symbolic link to such a file.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, b.with(origin.StoreOp("keys")), func(yield func(string) bool) error { return b.eachKey(ctx, yield) })
}

// eachKey also returns nil if yield ended the listing.
func (b *Backend) eachKey(ctx context.Context, yield func(string) bool) error {
	dir, err := os.Open(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(256)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := ctx.Err(); err != nil {
				return err
			}
			key, ok := b.keyOf(entry)
			if ok && !yield(key) {
				return nil
			}
		}
	}
}

func (b *Backend) keyOf(entry fs.DirEntry) (key string, ok bool) {
	name, prefix := entry.Name(), b.o.Prefix
	naming := b.naming(true)
	if naming.FoldsCase && len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
		name = prefix + unfolded(name[len(prefix):])
	}
	if key, ok = naming.Key(name); !ok || b.fits(key) != nil {
		return "", false
	}
	switch entry.Type() {
	case 0:
		return key, true
	case fs.ModeSymlink:
		target, err := os.Stat(filepath.Join(b.dir, entry.Name()))
		return key, err == nil && target.Mode().IsRegular()
	}
	return "", false
}

func newNaming(o Options, foldsCase bool) backend.Naming {
	n := backend.Naming{
		Prefix:    o.Prefix,
		Escape:    '%',
		FoldsCase: foldsCase,
		// Naming needs LongestName bytes, so that it can name every key. If that and a long
		// prefix are more than maxName, fits refuses the keys that are too long.
		Limit: max(maxName, len(o.Prefix)+backend.LongestName),
		Reserved: func(name string) bool {
			return name == "." || name == ".." || name == helpers || reservedByOS(name)
		},
	}
	if o.NativeNames {
		n.Native = func(name string) bool { return !strings.ContainsFunc(name, forbiddenByOS) }
	}
	return n
}

// fits refuses the few keys for which a long prefix leaves no room.
func (b *Backend) fits(key string) error {
	if len(b.o.Prefix)+backend.LongestName <= maxName {
		return nil
	}
	if n := len(b.fileName(key)); n > maxName {
		return fmt.Errorf("%w: the file name, including the prefix, has %d bytes; the limit is %d", core.ErrInvalidKey, n, maxName)
	}
	return nil
}

func (b *Backend) fileName(key string) string { return b.naming(b.caseMatters(key)).Name(key) }

// validatePrefix refuses a prefix that can't begin a file name on some system, so that a
// directory can be moved to any system.
func validatePrefix(prefix string) error {
	for _, c := range []byte(prefix) {
		if c < ' ' || c == 0x7f || strings.IndexByte(`/\:*?"<>|`, c) >= 0 {
			return fmt.Errorf("%w: a prefix can't contain %q", core.ErrInvalidKey, c)
		}
	}
	if len(prefix) >= maxName {
		return fmt.Errorf("%w: the prefix is so long that no key fits", core.ErrInvalidKey)
	}
	return nil
}

// place is where a record is: its name in the Backend's directory, after symbolic links
// are followed. Its helper files are in the same directory, so that a rename stays on one
// file system, and so that processes that use the link and those that use the file find
// the same lock. If that directory can't be written, they are beside the link.
type place struct {
	dir, name string // of the record
	home, as  string // of its helper files
}

func placeIn(dir, name string) place { return place{dir, name, dir, name} }

// place follows the record's links. The last link may lead to a file that doesn't exist:
// Save makes that file.
func (b *Backend) place(key string) (place, error) { return b.placeOf(b.fileName(key)) }

func (b *Backend) placeOf(name string) (place, error) {
	link := placeIn(b.dir, name)
	target, err := atomicfile.Target(link.record())
	if err != nil || target == link.record() {
		return link, err
	}
	at := placeIn(filepath.Split(target))
	if !canHoldHelpers(at.dir) {
		at.home, at.as = link.home, link.as
	}
	return at, nil
}

// canHoldHelpers reports whether this process may make helper files there. That is
// the same for all processes of one user.
func canHoldHelpers(dir string) bool {
	err := mayWrite(placeIn(dir, "").in(helpers))
	if errors.Is(err, fs.ErrNotExist) {
		err = mayWrite(dir)
	}
	return err == nil || errors.Is(err, fs.ErrNotExist)
}

func (p place) record() string { return p.in(p.name) }

// in is a path below the record's directory; see place about filepath.Join.
func (p place) in(names ...string) string {
	return p.dir + string(filepath.Separator) + filepath.Join(names...)
}

// stripes is how many locks the records of a directory share. With one lock each, a
// directory of 100,000 users would have as many lock files, and none could be removed
// without a race. With one lock for all, every save would wait for every other's fsync.
const stripes = 64

// stripe returns the number of the place's lock. Names that a directory may treat as one
// have the same.
func (p place) stripe() int {
	h := fnv.New32a()
	h.Write([]byte(strings.ToLower(p.as)))
	return int(h.Sum32() % stripes)
}

// lockFile is the lock of one stripe.
func lockFile(dir string, stripe int) string { return placeIn(dir, "").in(helpers, lockName(stripe)) }

func lockName(stripe int) string { return fmt.Sprintf("lock-%02x", stripe) }
func tempName(stripe int) string { return fmt.Sprintf("temp-%02x", stripe) }

// newTempName returns a name for a temporary file that nobody else has.
func newTempName(stripe int) string { return ownTempName(stripe, newOwner()) }

func ownTempName(stripe int, owner string) string { return tempName(stripe) + "." + owner }

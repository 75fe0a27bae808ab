package filesystem

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/graphtoken/graphtoken/core/atomicfile"
)

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

// stripe is the same for names that a directory may treat as one.
func (p place) stripe() int {
	h := fnv.New32a()
	h.Write([]byte(strings.ToLower(p.as)))
	return int(h.Sum32() % stripes)
}

// lockFile is the lock of one stripe.
func lockFile(dir string, stripe int) string { return placeIn(dir, "").in(helpers, lockName(stripe)) }

func lockName(stripe int) string { return fmt.Sprintf("lock-%02x", stripe) }
func tempName(stripe int) string { return fmt.Sprintf("temp-%02x", stripe) }

// newTempName is a temporary's name that nobody else has.
func newTempName(stripe int) string { return ownTempName(stripe, newOwner()) }

func ownTempName(stripe int, owner string) string { return tempName(stripe) + "." + owner }

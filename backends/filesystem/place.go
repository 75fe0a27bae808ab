package filesystem

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"path/filepath"
)

// place is where a record lies: what its name in the Backend's directory
// comes to once symbolic links are followed. Its helper files lie in the same
// directory, so that a rename stays on one file system, and so that those who
// come by the link and those who come by the file meet at the same lock.
type place struct{ dir, name string }

// maxLinks is how many links in a row are followed, as on Linux.
const maxLinks = 40

// place follows the record's links. A last link that leads nowhere is fine:
// Save makes what it names.
func (b *Backend) place(key string) (place, error) {
	at := place{b.dir, b.fileName(key)}
	for range maxLinks {
		info, err := os.Lstat(at.record())
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return at, nil
		}
		if err != nil {
			return place{}, err
		}
		target, err := os.Readlink(at.record())
		if err != nil {
			return place{}, err
		}
		if !filepath.IsAbs(target) {
			// Not filepath.Join: it resolves ".." in the text, where the
			// directory itself may be a link.
			target = at.dir + string(filepath.Separator) + target
		}
		dir, name := filepath.Split(target)
		at = place{dir, name}
	}
	return place{}, &fs.PathError{Op: "open", Path: filepath.Join(b.dir, b.fileName(key)), Err: errors.New("too many links")}
}

func (p place) record() string { return p.in(p.name) }
func (p place) lease() string  { return p.in(helpers, "leases", p.name) }

// in is a path below the directory; see place about filepath.Join.
func (p place) in(names ...string) string {
	return p.dir + string(filepath.Separator) + filepath.Join(names...)
}

// stripes is how many locks the records of a directory share. With one each,
// a directory of 100,000 users would hold as many lock files, and none could
// be removed without a race; with one for all, every save would wait for
// every other's fsync.
const stripes = 64

func (p place) stripe() int {
	h := fnv.New32a()
	h.Write([]byte(p.name))
	return int(h.Sum32() % stripes)
}

// lockFile is the lock of one stripe, temp where those who hold it write.
func lockFile(dir string, stripe int) string { return stripeFile(dir, "lock", stripe) }
func tempFile(dir string, stripe int) string { return stripeFile(dir, "temp", stripe) }

func stripeFile(dir, kind string, stripe int) string {
	return place{dir, ""}.in(helpers, fmt.Sprintf("%s-%02x", kind, stripe))
}

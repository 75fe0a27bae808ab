package filesystem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/graphtoken/graphtoken/core"
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
		// Never less than what Naming needs to name every key; where that and
		// a long prefix exceed maxName, fits says so.
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

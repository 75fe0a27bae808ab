package atomicfile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/graphtoken/graphtoken/core"
)

// CheckDirectory returns an error that wraps core.ErrUnsafeDirectory, and says what to
// do, if other users can write to the directory, or if it belongs to neither this
// process's user nor root: those users could put files and links there. It returns nil if
// the file system is read-only, whatever the mode (a secret that Kubernetes mounts has
// mode 01777), and on Windows, where modes tell nothing.
func CheckDirectory(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if flaw := unsafety(info); flaw != "" && !isOnReadOnlySystem(path) {
		return fmt.Errorf("%w: %s %s", core.ErrUnsafeDirectory, path, flaw)
	}
	return nil
}

// ReplacePath is [Replace] for the file at path or, if path is a symbolic link, for the
// file that it leads to. The temporary file lies beside that file; its name begins with
// the file's, and nobody else uses it.
func ReplacePath(ctx context.Context, path string, data []byte) error {
	return besideTarget(path, func(dir *os.Root, r Replacement) error {
		r.Data = data
		return Replace(ctx, dir, r)
	})
}

// ProbePath is [Probe] for what [ReplacePath] replaces.
func ProbePath(path string) error { return besideTarget(path, Probe) }

func besideTarget(path string, do func(*os.Root, Replacement) error) error {
	target, err := Target(path)
	if err != nil {
		return err
	}
	dir, err := os.OpenRoot(filepath.Dir(target))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(target)
	return do(dir, Replacement{Name: name, Temp: name + "-" + rand.Text() + ".tmp"})
}

// maxLinks is how many links in a row are followed, as on Linux.
const maxLinks = 40

// Target follows the symbolic links that path leads to, and returns the path of the file
// itself, which may not exist yet. Only the last part of a path is followed: a directory
// that is a link stays in the path.
func Target(path string) (string, error) {
	at := path
	for range maxLinks {
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode()&fs.ModeSymlink == 0 {
			return at, nil
		}
		if err != nil {
			return "", err
		}
		target, err := os.Readlink(at)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(target) {
			// Not filepath.Join: it resolves ".." in the text, but the directory itself may
			// be a link.
			dir, _ := filepath.Split(at)
			target = dir + target
		}
		at = target
	}
	return "", &fs.PathError{Op: "open", Path: path, Err: errors.New("too many links")}
}

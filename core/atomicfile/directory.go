package atomicfile

import (
	"fmt"
	"os"

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
	if flaw := unsafe(info); flaw != "" && !isOnReadOnlySystem(path) {
		return fmt.Errorf("%w: %s %s", core.ErrUnsafeDirectory, path, flaw)
	}
	return nil
}

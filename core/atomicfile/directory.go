package atomicfile

import (
	"fmt"
	"os"

	"github.com/graphtoken/graphtoken/core"
)

// CheckDirectory returns an error that wraps core.ErrUnsafeDirectory, and says
// what to do, where other users can write to the directory, or it belongs to
// neither this process's user nor root: they can plant files and links there. It
// reports nothing where nobody can write, whatever the mode, because the file
// system is read-only (a secret that Kubernetes mounts has mode 01777), and nothing on
// Windows, where modes tell nothing.
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

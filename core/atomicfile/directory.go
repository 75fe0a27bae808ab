package atomicfile

import (
	"fmt"
	"os"

	"github.com/graphtoken/graphtoken/core"
)

// CheckDirectory returns an error that wraps core.ErrUnsafeDirectory, and says
// what to do, where other users can write to the directory, or it belongs to
// neither this process's user nor root: they can plant files and links there. It
// reports nothing on Windows, where modes tell nothing.
func CheckDirectory(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if flaw := unsafe(info); flaw != "" {
		return fmt.Errorf("%w: %s %s", core.ErrUnsafeDirectory, path, flaw)
	}
	return nil
}

//go:build unix

package agent

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkDirectory refuses a directory in which others could replace the socket.
func checkDirectory(dir string, info fs.FileInfo) error {
	owner, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(owner.Uid) != os.Getuid() {
		return fmt.Errorf("agent: %s is another user's directory: choose one of your own for the socket", dir)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("agent: others can open %s (mode %#o): run chmod 700 on it, or choose another directory for the socket", dir, info.Mode().Perm())
	}
	return nil
}

package atomicfile

import (
	"bytes"
	"fmt"
	"os"
)

// isMountPoint reports whether the file and its directory are on different mounts: a file
// that is bound over another one is on a mount of its own. If the mounts can't be found out,
// isMountPoint returns false.
func isMountPoint(dir *os.Root, name string) bool {
	of, under := mountID(dir, name), mountID(dir, ".")
	return of != nil && under != nil && !bytes.Equal(of, under)
}

// mountID returns the mount's number, which /proc shows for an open file
// (proc_pid_fdinfo(5)), or nil.
func mountID(dir *os.Root, name string) []byte {
	f, err := dir.OpenFile(name, os.O_RDONLY|openNow, 0)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", f.Fd()))
	if err != nil {
		return nil
	}
	_, id, _ := bytes.Cut(info, []byte("mnt_id:"))
	id, _, _ = bytes.Cut(id, []byte("\n"))
	return bytes.TrimSpace(id)
}

package filesystem

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"time"
)

func openToRead(path string) (f *os.File, err error) {
	err = patiently(func() error {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

// syncDir does nothing: Windows can't flush a directory, and NTFS journals a
// rename.
func syncDir(string) error { return nil }

func rename(from, to string) error {
	return patiently(func() error { return os.Rename(from, to) })
}

func remove(path string) error {
	return patiently(func() error { return os.Remove(path) })
}

// patiently tries again while another process, a reader or a virus scanner,
// has the file open: Windows replaces no open file, and opens none that is
// being replaced.
func patiently(try func() error) error {
	const sharingViolation, lockViolation = syscall.Errno(32), syscall.Errno(33)
	err := try()
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); err = try() {
		if !errors.Is(err, sharingViolation) && !errors.Is(err, lockViolation) && !errors.Is(err, syscall.ERROR_ACCESS_DENIED) {
			return err
		}
		time.Sleep(2 * time.Millisecond)
	}
	return err
}

// reservedByOS reports the names that mean devices, with whatever extension,
// and those that Windows shortens.
func reservedByOS(name string) bool {
	if strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") {
		return true
	}
	device, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch device = strings.TrimRight(device, " "); device {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	n := len(device)
	return n == 4 && (device[:3] == "COM" || device[:3] == "LPT") && '0' <= device[3] && device[3] <= '9'
}

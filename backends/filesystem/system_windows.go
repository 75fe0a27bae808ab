package filesystem

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/windows"

	"github.com/graphtoken/graphtoken/core/atomicfile"
)

const openNow = 0

func openToRead(path string) (f *os.File, err error) {
	err = atomicfile.Patiently(func() error {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

// mayWrite asks whether the directory is there: for the rest one has to try.
func mayWrite(dir string) error {
	_, err := os.Stat(dir)
	return err
}

// lockFileNow locks the first byte of the file, for one or for several, unless
// somebody else has.
func lockFileNow(f *os.File, exclusive bool) (locked bool, err error) {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if exclusive {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) || errors.Is(err, windows.ERROR_IO_PENDING) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return true, nil
}

// lockDirectoryNow does nothing: Windows removes no open file, as a held lock is.
func lockDirectoryNow(*os.File, bool) (bool, error) { return true, nil }

func unlockDirectory(*os.File) error { return nil }

// sinceBoot: Windows has no number that tells one run of a machine from another.
func sinceBoot() (boot string, up int64) { return "", 0 }

// forbiddenByOS reports what no file name holds.
func forbiddenByOS(c rune) bool { return c < ' ' || strings.ContainsRune(`/\:*?"<>|`, c) }

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

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Patiently calls try, and again for up to two seconds while another process, a reader or
// a virus scanner, has the file open: Windows replaces no open file, and opens none that
// is being replaced.
func Patiently(try func() error) error {
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

const openNow = 0

func openToRead(path string) (f *os.File, err error) {
	err = Patiently(func() error {
		f, err = os.Open(path)
		return err
	})
	return f, err
}

// syncDir does nothing: Windows can't flush a directory, and NTFS journals a rename.
func syncDir(*os.Root) error { return nil }

func isRefusalBySystem(error) bool { return false }

func isReadOnly(err error) bool { return errors.Is(err, syscall.Errno(19)) } // ERROR_WRITE_PROTECT

func isDeniedByMode(err error) bool { return errors.Is(err, fs.ErrPermission) }

const errFull = syscall.Errno(112) // ERROR_DISK_FULL

// Adopt does nothing: on Windows the directory decides who owns a file.
func Adopt(*os.Root, *os.File) error { return nil }

func inherit(*os.Root, *os.File, fs.FileInfo) error { return nil }

func owner(fs.FileInfo) struct{} { return struct{}{} }

func kept(*os.Root, string, fs.FileInfo) error { return nil }

func isOnReadOnlySystem(string) bool { return false }

func unsafety(fs.FileInfo) string { return "" }

// lockInPlace does nothing: on Windows a lock would keep other programs from reading.
func lockInPlace(*os.File) (bool, error) { return true, nil }

func freeSpace(*os.File) (bytes int64, known bool) { return 0, false }

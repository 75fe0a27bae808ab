//go:build unix

package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Patiently calls try. On Windows it calls try again, for up to two seconds, while
// another process has the file open.
func Patiently(try func() error) error { return try() }

// openNow is the flag that doesn't wait for the other end of a pipe.
const openNow = syscall.O_NONBLOCK

func openToRead(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDONLY|openNow, 0) }

// syncDir makes the names in the directory durable.
func syncDir(dir *os.Root) error {
	d, err := dir.Open(".")
	if errors.Is(err, fs.ErrPermission) {
		return nil // a directory that this user may write and not read: nobody can sync it
	}
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		return nil // a file system without this call, such as some in user space
	}
	return err
}

// isRefusalBySystem reports the errors of a rename that the system doesn't allow: EBUSY or
// EXDEV for a mount point, EROFS for a read-only file system, EPERM or EACCES for a
// directory that can't be written, a sticky directory and an immutable file.
func isRefusalBySystem(err error) bool {
	return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EXDEV) || errors.Is(err, syscall.EROFS) ||
		errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES)
}

func isReadOnly(err error) bool { return errors.Is(err, syscall.EROFS) }

// isDeniedByMode reports that the file's mode is the reason. For an immutable file the error
// is EPERM, and for a read-only mount EROFS.
func isDeniedByMode(err error) bool { return errors.Is(err, syscall.EACCES) }

var errFull = syscall.ENOSPC

// inherit gives the new file the old one's owner and mode. If there is no old file and the
// user is root, the new file gets the directory's owner.
func inherit(dir *os.Root, f *os.File, old fs.FileInfo) error {
	if old == nil {
		return Adopt(dir, f)
	}
	mine, err := f.Stat()
	if err != nil {
		return err
	}
	want, mode := owner(old), old.Mode().Perm()
	chowned, err := chown(f, owner(mine), want)
	if err != nil {
		return err
	}
	if chowned || mine.Mode().Perm() != mode {
		return f.Chmod(mode)
	}
	return nil
}

// Adopt gives a file or directory that root has just made in dir to the owner of dir, who
// could not use it otherwise. For other users, and on Windows, it does nothing.
func Adopt(dir *os.Root, made *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	parent, err := dir.Stat(".")
	if err != nil {
		return err
	}
	mine, err := made.Stat()
	if err != nil {
		return err
	}
	_, err = chown(made, owner(mine), owner(parent))
	return err
}

func chown(f *os.File, from, to ids) (done bool, err error) {
	if from == to {
		return false, nil
	}
	err = f.Chown(int(to.uid), int(to.gid))
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) { // EINVAL: a user namespace doesn't know the user
		return false, errOwner
	}
	return err == nil, err
}

type ids struct{ uid, gid uint32 }

func owner(info fs.FileInfo) ids {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return ids{s.Uid, s.Gid}
	}
	return ids{}
}

var errMountPoint = errors.New("it is a mount point")

// kept returns the reason why no new file may take the name of file: the new file would have
// another owner, or the name is a mount point. It returns nil if there is none.
func kept(dir *os.Root, name string, file fs.FileInfo) error {
	if me := uint32(os.Geteuid()); me != 0 && me != owner(file).uid {
		return errOwner
	}
	if isMountPoint(dir, name) {
		return errMountPoint
	}
	return nil
}

// lockInPlace locks the file against other writers in place. If the file can't be locked, it
// reports success: then only the caller's own locks keep writers apart.
func lockInPlace(f *os.File) (locked bool, err error) {
	locked, err = TryLock(f, true)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOLCK) {
		return true, nil
	}
	return locked, err
}

func isOnReadOnlySystem(path string) bool {
	const writable = 2 // W_OK of access(2)
	return errors.Is(syscall.Access(path, writable), syscall.EROFS)
}

func unsafety(info fs.FileInfo) string {
	uid, me := owner(info).uid, uint32(os.Geteuid())
	switch perm := info.Mode().Perm(); {
	case perm&0o002 != 0:
		return fmt.Sprintf("has mode %04o: every user can write there; use a directory of your own, or chmod go-w", perm)
	case perm&0o020 != 0:
		return fmt.Sprintf("has mode %04o: its group can write there; use a directory of your own, or chmod g-w", perm)
	case uid != me && uid != 0:
		return fmt.Sprintf("belongs to the user with the number %d, and this process is %d's: run it as that user", uid, me)
	}
	return ""
}

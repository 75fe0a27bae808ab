//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package terminal

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal is one whose mode can be changed, and the mode it had.
type terminal struct {
	conn   syscall.RawConn
	before *unix.Termios
}

// open returns nil if in is no terminal.
func open(in io.Reader) *terminal {
	file, ok := in.(syscall.Conn)
	if !ok {
		return nil
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return nil // for example it is closed, which reading tells
	}
	before, err := get(conn)
	if err != nil {
		return nil
	}
	return &terminal{conn, before}
}

// handOver makes the terminal pass on each character as it comes, and show none. Signals
// of the keyboard (Ctrl-C) stay as they are.
func (t *terminal) handOver() error {
	// Characters that were typed already stay: the mode is set without TCSAFLUSH.
	during := *t.before
	during.Lflag &^= unix.ICANON | unix.ECHO
	during.Cc[unix.VMIN], during.Cc[unix.VTIME] = 1, 0
	return set(t.conn, &during)
}

func (t *terminal) restore() error { return set(t.conn, t.before) }

// lineReader is in: a file's lines have no limit.
func lineReader(in io.Reader) io.Reader { return in }

func get(conn syscall.RawConn) (mode *unix.Termios, err error) {
	failed := conn.Control(func(fd uintptr) { mode, err = unix.IoctlGetTermios(int(fd), ioctlGet) })
	if failed != nil {
		return nil, failed
	}
	return mode, err
}

func set(conn syscall.RawConn, mode *unix.Termios) (err error) {
	failed := conn.Control(func(fd uintptr) { err = unix.IoctlSetTermios(int(fd), ioctlSet, mode) })
	if failed != nil {
		return failed
	}
	return err
}

//go:build linux || darwin

package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// ModeOf returns the mode of a terminal.
func ModeOf(tty *os.File) (*unix.Termios, error) {
	conn, err := tty.SyscallConn()
	if err != nil {
		return nil, err
	}
	return get(conn)
}

//go:build darwin || freebsd

package agent

import "golang.org/x/sys/unix"

// credentials are those of the process that connected, by LOCAL_PEERCRED, which tells the
// user alone: https://man.freebsd.org/cgi/man.cgi?unix(4)
func credentials(fd int) (uid, pid int, err error) {
	c, err := unix.GetsockoptXucred(fd, 0, unix.LOCAL_PEERCRED) // SOL_LOCAL is 0
	if err != nil {
		return -1, 0, err
	}
	return int(c.Uid), 0, nil
}

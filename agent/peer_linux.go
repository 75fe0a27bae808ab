package agent

import "golang.org/x/sys/unix"

// credentials are those of the process that connected, by SO_PEERCRED:
// https://man7.org/linux/man-pages/man7/unix.7.html
func credentials(fd int) (uid, pid int, err error) {
	c, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return -1, 0, err
	}
	return int(c.Uid), int(c.Pid), nil
}

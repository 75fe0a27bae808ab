package main

import "golang.org/x/sys/unix"

// watchStops says that watch sees a program stop.
const watchStops = true

// watch tells each time that a program stops. It doesn't take the program's exit, which
// is exec.Cmd's to wait for: https://man7.org/linux/man-pages/man2/waitid.2.html
func watch(pid int, stopped chan<- struct{}) {
	for {
		switch err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED, nil); err {
		case nil:
			stopped <- struct{}{}
		case unix.EINTR:
		default:
			return
		}
	}
}

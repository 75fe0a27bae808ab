package filesystem

import "golang.org/x/sys/unix"

// sinceBoot returns a name of the boot, and the nanoseconds since then by the clock from which
// time.Now takes its monotonic reading.
func sinceBoot() (boot string, up int64) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return "", 0
	}
	const uptimeRaw = 8 // CLOCK_UPTIME_RAW of <time.h>
	var now unix.Timespec
	if err := unix.ClockGettime(uptimeRaw, &now); err != nil {
		return "", 0
	}
	return id, now.Nano()
}

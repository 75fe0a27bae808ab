package filesystem

import "golang.org/x/sys/unix"

// sinceBoot returns a name of this run of the machine, and the nanoseconds of the
// clock that time.Now's monotonic readings are of.
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

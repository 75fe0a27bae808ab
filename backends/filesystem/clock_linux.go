package filesystem

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// sinceBoot returns a name of this run of the machine, and the nanoseconds of the
// clock that time.Now's monotonic readings are of.
func sinceBoot() (boot string, up int64) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", 0
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "", 0
	}
	return strings.TrimSpace(string(id)), now.Nano()
}

package filesystem

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// sinceBoot returns a name of the boot, and the nanoseconds since then by the clock from which
// time.Now takes its monotonic reading.
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

package filesystem

import (
	"sync"
	"time"
)

// moment is one moment by two clocks. The wall clock is set while programs run: by
// an hour, on a machine that boots with a wrong one. So leases expire by the clock
// that counts since the machine was booted, which all of its processes share; the
// wall clock counts only for a holder on another machine, or before a reboot, and
// where the system doesn't tell one boot from another.
type moment struct {
	wall time.Time
	boot string        // which boot up counts from; empty: unknown
	up   time.Duration // without the time that the machine slept
}

// boot relates time.Now's monotonic readings to the clock that processes share.
var boot = sync.OnceValue(func() (b struct {
	id    string
	up    time.Duration
	began time.Time
}) {
	id, up := sinceBoot()
	b.id, b.up, b.began = id, time.Duration(up), time.Now()
	return b
})

func (b *Backend) moment() moment {
	boot, now := boot(), b.now()
	elapsed := now
	if now == now.Round(0) { // without a monotonic reading
		elapsed = time.Now()
	}
	return moment{now, boot.id, boot.up + elapsed.Sub(boot.began)}
}

func (m moment) add(d time.Duration) moment { return moment{m.wall.Add(d), m.boot, m.up + d} }

// before compares by the shared clock where it can.
func (m moment) before(other moment) bool {
	if m.boot != "" && m.boot == other.boot {
		return m.up < other.up
	}
	return m.wall.Before(other.wall)
}

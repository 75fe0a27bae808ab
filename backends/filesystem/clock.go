package filesystem

import (
	"sync"
	"time"
)

// moment is one moment by two clocks. The wall clock is set while programs run, for
// example by an hour on a machine that booted with a wrong one. So leases expire by the
// clock that counts since the machine was booted, which all of its processes share. The
// wall clock counts only for a holder on another machine, or before a reboot, and on
// systems that don't tell one boot from another.
type moment struct {
	Wall time.Time
	Boot string        // the boot from which Up counts; empty if it is unknown
	Up   time.Duration // since that boot, without the time in which the machine slept
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
	return moment{now.UTC(), boot.id, boot.up + elapsed.Sub(boot.began)}
}

func (m moment) add(d time.Duration) moment { return moment{m.Wall.Add(d), m.Boot, m.Up + d} }

// before compares by the shared clock if that is possible.
func (m moment) before(other moment) bool {
	if m.Boot != "" && m.Boot == other.Boot {
		return m.Up < other.Up
	}
	return m.Wall.Before(other.Wall)
}

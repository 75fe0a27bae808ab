package filesystem

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// How often Wait looks: quickly at first, because most refreshes take a moment
// only, and never so rarely that a waiter's user would notice.
const firstLook, lastLook = 5 * time.Millisecond, 20 * time.Millisecond

// Wait implements [core.Watcher] by looking again every 5 to 20 ms, at about
// 20 µs each: no notification tells of a process that died.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	if err := b.admit(ctx, "wait", key); err != nil {
		return err
	}
	at, err := b.place(key)
	if err != nil {
		return fail("wait", key, err)
	}
	record := watched{path: at.record(), seen: seen}
	for pause := firstLook; ; pause = min(pause*3/2, lastLook) {
		if changed, err := record.changed(); changed || err != nil {
			if err != nil {
				return fail("wait", key, err)
			}
			return nil
		}
		if held, err := b.leaseHeld(at); !held || err != nil {
			if err != nil {
				return fail("wait", key, err)
			}
			return nil
		}
		if err := sleep(ctx, pause); err != nil {
			return fail("wait", key, err)
		}
	}
}

// watched compares a record with a version without reading it each time.
type watched struct {
	path string
	seen core.Version
	info fs.FileInfo // as it was when it was read last
	read time.Time
}

// unread is how long an unchanged-looking file goes without being read:
// within one tick of the file system's clock, a file can change behind the
// same number, size and date.
const unread = 200 * time.Millisecond

func (w *watched) changed() (bool, error) {
	info, err := os.Stat(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		w.info = nil
		return w.seen != core.Absent, nil
	}
	if err != nil {
		return false, err
	}
	if w.info != nil && time.Since(w.read) < unread &&
		os.SameFile(info, w.info) && info.Size() == w.info.Size() && info.ModTime().Equal(w.info.ModTime()) {
		return false, nil
	}
	version, err := storedVersion(w.path)
	if err != nil {
		return false, err
	}
	w.info, w.read = info, time.Now()
	return version != w.seen, nil
}

package awssecrets

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Calls cost money and quota: the provider's answer takes about as long as the
// first pause.
const firstPause, maxPause = 500 * time.Millisecond, 4 * time.Second

// Wait implements [core.Watcher] by asking after half a second, one, two, and
// then every four. The service has nothing that wakes; without Wait
// core.Coordinate would ask more often, and by trying to create the lease.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	if err := origin.Admit(ctx, "wait", key); err != nil {
		return err
	}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		worth, err := b.worthLooking(ctx, key, seen)
		if err != nil || worth {
			return origin.Fail("wait", key, err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return origin.Fail("wait", key, ctx.Err())
		}
	}
}

// worthLooking says whether the record is another than the one seen, or its
// lease free.
func (b *Backend) worthLooking(ctx context.Context, key string, seen core.Version) (bool, error) {
	s, err := b.look(ctx, b.name(key))
	if err != nil {
		return false, err
	}
	version := core.Absent
	if id := s.current(); id != "" && !b.gone(s) {
		version = core.Version(id)
	}
	if version != seen {
		return true, nil
	}
	_, free, err := b.holder(ctx, b.leaseName(key))
	return free, err
}

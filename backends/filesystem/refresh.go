package filesystem

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] over the
// leases of Acquire.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// Wait implements [core.Watcher] by looking again, because no notification tells of a
// process that died: at the record every 5 ms, and at its lease every 20. All who wait
// in a process share one goroutine, which makes 2,000 looks at records and 400 at
// leases a second at most. Thus each of a thousand records is looked at twice a second.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	if err := b.admit(ctx, "wait", key); err != nil {
		return err
	}
	at, err := b.place(key)
	if err != nil {
		return fail("wait", key, err)
	}
	waiter := processWatcher.join(at, b, seen)
	select {
	case err = <-waiter.woken:
	case <-ctx.Done():
		processWatcher.leave(at, waiter)
		err = ctx.Err()
	}
	return fail("wait", key, err)
}

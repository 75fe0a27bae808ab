package sql

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ShouldRefresh implements [core.TokenBackend]: [core.Coordinate] over the table's leases.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, b, b, key, req)
}

// How long those who wait go without looking: shortly at first, since providers answer
// within a second, and longer where they will be woken anyway.
const (
	firstPause, lastPause = 10 * time.Millisecond, 500 * time.Millisecond
	untilListening        = 250 * time.Millisecond
	whileListening        = 5 * time.Second
)

// Wait implements [core.Watcher]. Those who wait look from time to time, when the lease
// ends, and with Options.Listen when PostgreSQL says so. Looks at many records are one
// statement, which reads.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	w := backend.Watch{Place: b.Place(), Name: b.prefix + key, Look: b.lookWithOthers, First: firstPause, Last: lastPause}
	if b.wakes != nil {
		w.Name, w.Wakes, w.First, w.Heard = news(b.prefix+key), b.wakes, untilListening, whileListening
	}
	return backend.Wait(ctx, b.op("wait", key), seen, w)
}

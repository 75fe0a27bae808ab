package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// longWait is how long a command waits for another process's refresh before the user is
// told. A refresh takes a second; a process that died is waited for until its lease ends.
const longWait = 2 * time.Second

// telling is a backend that tells of a long wait for the process that has a record's lease.
type telling struct {
	core.TokenBackend
	tell func(key string)
}

func (b telling) Unwrap() core.TokenBackend { return b.TokenBackend }

// ShouldRefresh implements [core.TokenBackend], as every backend with leases does.
func (b telling) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	leaser, ok := core.As[core.Leaser](b.TokenBackend)
	if !ok {
		return b.TokenBackend.ShouldRefresh(ctx, key, req)
	}
	waiting, over := context.WithCancel(ctx)
	defer over()
	if refresh := req.Refresh; refresh != nil {
		req.Refresh = func(ctx context.Context, current core.Record) error {
			over()
			return refresh(ctx, current)
		}
	}
	return core.Coordinate(ctx, b.TokenBackend, &tellingLeaser{Leaser: leaser, begin: sync.OnceFunc(func() {
		go func() {
			select {
			case <-time.After(longWait):
				b.tell(key)
			case <-waiting.Done():
			}
		}()
	})}, key, req)
}

// tellingLeaser calls begin when another process has the lease.
type tellingLeaser struct {
	core.Leaser
	begin func()
}

func (l *tellingLeaser) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	lease, err := l.Leaser.Acquire(ctx, key, ttl)
	if errors.Is(err, core.ErrLeaseHeld) {
		l.begin()
	}
	return lease, err
}

package main

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/core"
)

// pingTimeout limits the wait for a store that doesn't answer.
const pingTimeout = 20 * time.Second

// ping asks the store once.
func (d *checkup) ping(ctx context.Context) error {
	if d.pinged != nil {
		return *d.pinged
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var err error
	if pinger, ok := core.As[core.Pinger](d.Backend); ok {
		err = pinger.Ping(ctx)
	}
	d.pinged = &err
	return err
}

// isReachable reports whether the store can be asked more.
func (d *checkup) isReachable(ctx context.Context) bool {
	err := d.ping(ctx)
	return err == nil || errors.Is(err, redis.ErrEvicts) || d.ReadOnly && errors.Is(err, core.ErrReadOnly)
}

func (d *checkup) reach(ctx context.Context) []finding {
	begun := time.Now()
	if !d.isReachable(ctx) {
		return []finding{bad("Check the address, the credentials and the network; graphtoken help stores says where credentials come from. The first graphtoken login makes a table that is missing.", "%v", d.ping(ctx))}
	}
	return []finding{good("%s answers in %s", d.String(), time.Since(begun).Round(time.Millisecond/10))}
}

// eviction tells of a server that may remove records when memory is short.
func (d *checkup) eviction(ctx context.Context) []finding {
	if err := d.ping(ctx); errors.Is(err, redis.ErrEvicts) {
		return []finding{bad("Set its maxmemory-policy to noeviction, or to one of volatile-*: CONFIG SET maxmemory-policy noeviction", "%v", err)}
	}
	return nil
}

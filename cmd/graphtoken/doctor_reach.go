package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/graphtoken/graphtoken/backends/awss3"
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

// isFit reports whether a Ping's error is none that concerns the whole store.
func (d *checkup) isFit(err error) bool {
	return err == nil || errors.Is(err, redis.ErrEvicts) || d.ReadOnly && errors.Is(err, core.ErrReadOnly)
}

// isReachable reports whether the store can be asked more: it answered, if only that
// something isn't allowed. In a database a trial would make a table that is missing.
func (d *checkup) isReachable(ctx context.Context) bool {
	err := d.ping(ctx)
	switch {
	case d.isFit(err):
		return true
	case d.Backend == nil:
		return false
	}
	var file *fs.PathError
	switch t := troubleOf(err); {
	case t == forbidden, t == full && !errors.As(err, &file):
	case t != unclear:
		return false
	}
	return !slices.Contains([]string{"postgres", "mysql", "sqlite"}, d.Kind)
}

func (d *checkup) reach(ctx context.Context) []finding {
	begun := time.Now()
	if err := d.ping(ctx); !d.isFit(err) {
		return []finding{bad(d.adviceOnPing(ctx, err), "%v", err)}
	}
	return []finding{good("%s answers in %s", d.String(), time.Since(begun).Round(time.Millisecond/10))}
}

func (d *checkup) adviceOnPing(ctx context.Context, err error) string {
	switch {
	case errors.Is(err, awss3.ErrUnconditional):
		return "Don't let two processes use this store: one would overwrite the other's tokens. Use a service that honours conditions; docs/choosing-a-store.md lists some."
	case errors.Is(err, core.ErrUnsafeDirectory):
		return "Make a directory for this user alone: chmod 700, and chown it."
	case errors.Is(err, core.ErrReadOnly):
		return "Name a place that accepts writes: the primary of a database, a file system that isn't mounted read-only."
	case troubleOf(err) != full && d.isReachable(ctx):
		return "The store answers: give this user the rights that it refuses, see permissions."
	}
	return troubleOf(err).advice(d.Kind)
}

// eviction tells of a server that may remove records when memory is short.
func (d *checkup) eviction(ctx context.Context) []finding {
	if err := d.ping(ctx); errors.Is(err, redis.ErrEvicts) {
		return []finding{bad("Set its maxmemory-policy to noeviction, or to one of volatile-*: CONFIG SET maxmemory-policy noeviction", "%v", err)}
	}
	return nil
}

// persistence tells of a server that forgets all records when it restarts. That is no
// error of a store that is a cache on purpose.
func (d *checkup) persistence(ctx context.Context) []finding {
	server, ok := core.As[*redis.Backend](d.Backend)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	if err := server.Persists(ctx); errors.Is(err, redis.ErrVolatile) {
		return []finding{risky("Let it write to disk, or after its restart all users have to sign in again: CONFIG SET appendonly yes, and the same in its configuration file.", "%v", err)}
	}
	return nil // of other errors, reach tells
}

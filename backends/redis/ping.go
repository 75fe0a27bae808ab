package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ErrEvicts is returned by Ping for a server that works, but may remove a refresh token
// when memory is short: its maxmemory-policy is one of allkeys-*.
var ErrEvicts = errors.New("the server may evict records")

// pingName is the name of no key: it ends in the middle of an escape sequence.
const pingName = "%}"

// Ping implements [core.Pinger]. It takes and releases a lease that belongs to no key, so
// that a replica and missing permissions are found. It also asks every master for its
// eviction policy, by CONFIG or by INFO: see [ErrEvicts]. A server that refuses both is
// assumed to be fit.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error {
		err := backend.TryLease(ctx, func(ctx context.Context) (core.Lease, error) {
			return b.acquire(ctx, placeOf(b.naming.Prefix+pingName), time.Second)
		})
		if err != nil {
			return err
		}
		return b.eachMaster(ctx, func(master redis.Cmdable) error { return mayEvict(ctx, master) })
	})
}

// mayEvict asks for the policy in two ways: a managed server may forbid CONFIG, and an ACL
// either of them.
func mayEvict(ctx context.Context, server redis.Cmdable) error {
	answer, err := server.ConfigGet(ctx, "maxmemory-policy").Result()
	policy := answer["maxmemory-policy"]
	if refused(err) {
		var told map[string]string
		told, err = memoryOf(ctx, server)
		policy = told["maxmemory_policy"]
	}
	switch {
	case refused(err):
		return nil // nobody tells
	case err != nil:
		return err
	case strings.HasPrefix(policy, "allkeys-"):
		return fmt.Errorf("%w: its maxmemory-policy is %s; set noeviction or volatile-*", ErrEvicts, policy)
	}
	return nil
}

// ErrVolatile is returned by [Backend.Persists] for a server that works, but forgets all
// records when it restarts.
var ErrVolatile = errors.New("the server writes nothing to disk")

// Persists asks every master whether it writes what it has to disk: to an append-only file,
// or to snapshots. It returns [ErrVolatile] if a master does neither. The client needs the
// right to call CONFIG GET, because INFO doesn't tell whether snapshots are taken. A server
// that refuses the call is assumed to write.
//
// https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/
func (b *Backend) Persists(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("persists"), func() error {
		return b.eachMaster(ctx, func(master redis.Cmdable) error { return isVolatile(ctx, master) })
	})
}

// isVolatile returns ErrVolatile if the server says that it writes nothing to disk.
func isVolatile(ctx context.Context, server redis.Cmdable) error {
	for name, never := range map[string]string{"save": "", "appendonly": "no"} {
		answer, err := server.ConfigGet(ctx, name).Result()
		if err != nil && !refused(err) {
			return err
		}
		if value, told := answer[name]; !told || value != never {
			return nil
		}
	}
	return fmt.Errorf("%w: it has no append-only file, and takes no snapshots", ErrVolatile)
}

// refused reports whether the server answered that it doesn't execute the command.
func refused(err error) bool {
	reply := redis.Error(nil)
	return errors.As(err, &reply)
}

// Space implements [core.SpaceReporter]: used_memory and maxmemory of the master with the
// least left. The client needs the right to call INFO.
func (b *Backend) Space(ctx context.Context) (used, most int64, err error) {
	err = backend.Do(ctx, origin.StoreOp("space"), func() error {
		return b.eachMaster(ctx, func(master redis.Cmdable) error {
			told, err := memoryOf(ctx, master)
			its, itsMost := number(told["used_memory"]), number(told["maxmemory"])
			if most == 0 && itsMost == 0 && its > used || itsMost > 0 && (most == 0 || itsMost-its < most-used) {
				used, most = its, itsMost
			}
			return err
		})
	})
	return used, most, err
}

// memoryOf returns what the server says about its memory: https://redis.io/docs/latest/commands/info/
func memoryOf(ctx context.Context, server redis.Cmdable) (map[string]string, error) {
	text, err := server.Info(ctx, "memory").Result()
	told := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			told[name] = value
		}
	}
	return told, err
}

// number reads a count of bytes; zero if the server doesn't tell it.
func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

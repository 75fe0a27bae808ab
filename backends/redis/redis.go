// Package redis keeps token records in Redis or Valkey, version 6 or later, for many
// workers on many machines. The caller's client reaches one server, Sentinel or Cluster.
//
//	client := goredis.NewUniversalClient(&goredis.UniversalOptions{Addrs: []string{"localhost:6379"}})
//	backend, err := redis.New(client, redis.Options{Prefix: "tokens:"})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend)
//
// # What is stored
//
// All names for a key contain its name as a hash tag, so they are in one slot of a
// Cluster:
//
//	tokens:{ana%40contoso.com}        a hash: version, modified (µs since 1970), data:<version>
//	tokens:{ana%40contoso.com}:lease  who refreshes the record; expires by itself
//	tokens:{ana%40contoso.com}:wake   a channel, no key: a new version, or "" for "look again"
//
// A record has no expiry in Redis. After 90 days without a refresh its tokens are of no
// use, but the record stays.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Options configures a [Backend]. The zero value is ready for use.
type Options struct {
	// Prefix begins the name of every key and channel, without escaping, and separates
	// users of one server. Two Backends see each other's records only if their prefixes
	// are equal. A prefix whose first brace begins "{}" is refused, because Cluster would
	// then distribute the names of one key over several nodes.
	Prefix string
}

// Backend is a [core.TokenBackend] on a Redis server, Sentinel or Cluster. Any number of
// Backends, in any number of processes, can share one.
type Backend struct {
	client redis.UniversalClient
	naming backend.Naming // includes the prefix
	wakes  backend.Wakes
}

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Locator        = (*Backend)(nil)
	_ core.SpaceReporter  = (*Backend)(nil)
)

// New returns a backend that uses client. The caller closes the client.
//
// New refuses clients that give wrong answers. A client that reads from replicas, or from
// a cache of its own, may show the holder of a lease the record from before the last
// refresh, so that it sends a refresh token a second time. A Ring sends the keys of a
// shard that is down to another shard, where every record is absent. An AutoPipeliner
// hides a Cluster, whose keys would be listed in part.
func New(client redis.UniversalClient, o Options) (*Backend, error) {
	if err := check(client, o.Prefix); err != nil {
		return nil, origin.Fail("new", "", err)
	}
	b := &Backend{client: client, naming: namesAfter(o.Prefix)}
	b.wakes.Listen = b.listen
	return b, nil
}

// check returns what is wrong with a prefix, or with a client that gives wrong answers.
func check(client redis.UniversalClient, prefix string) (err error) {
	if err := origin.Require(client); err != nil {
		return err
	}
	if _, tag, found := strings.Cut(prefix, "{"); found && strings.HasPrefix(tag, "}") {
		return fmt.Errorf("%w: the prefix %q begins an empty hash tag", core.ErrInvalidKey, prefix)
	}
	defer func() {
		if recover() != nil { // a zero client panics when it is asked for its options
			err = errors.New("the client is a zero value: make it with go-redis's constructor")
		}
	}()
	switch c := client.(type) {
	case *redis.ClusterClient:
		if o := c.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return errors.New("the client reads from replicas, which may not have the last save yet")
		}
	case *redis.Client:
		if o := c.Options(); o.ClientSideCache != nil || o.ClientSideCacheConfig != nil {
			return errors.New("the client reads from a cache of its own, which may not have the last save yet")
		}
	case *redis.AutoPipeliner:
		return errors.New("the client is an AutoPipeliner: pass the client that it belongs to")
	case *redis.Ring:
		return errors.New("the client is a Ring, for which the records of a shard that is down are absent")
	}
	return nil
}

// Place implements [core.Locator]. Backends with the same client and prefix have one
// place. Two clients with one address may lead to different servers.
func (b *Backend) Place() any { return [...]any{b.client, b.naming.Prefix} }

// origin names the backend in its errors.
const origin backend.Origin = "redis"

func (b *Backend) op(name, key string) backend.Op {
	op := origin.Op(name, key)
	op.Classify = b.classify
	return op
}

// classify marks a key with another type as no record.
//
// READONLY doesn't become core.ErrReadOnly, which is final: a master that has just been
// replaced answers it, and the client will soon have found the new one.
//
// A Cluster's client goes on connecting to a master that crashed until it reads again
// which node serves which slot, by default a minute later. It is told to read that now.
func (b *Backend) classify(err error) error {
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return fmt.Errorf("%w: %w", core.ErrCorrupt, err)
	}
	if unreachable := net.Error(nil); errors.As(err, &unreachable) {
		if cluster, ok := b.client.(interface{ ReloadState(context.Context) }); ok {
			cluster.ReloadState(context.Background())
		}
	}
	return err
}

// turn waits for a turn at the client. The connections of other kinds of clients aren't
// known, so they aren't limited.
func (b *Backend) turn(ctx context.Context) (done func(), err error) {
	size := 0
	switch c := b.client.(type) {
	case *redis.Client:
		size = c.Options().PoolSize
	case *redis.ClusterClient:
		size = c.Options().PoolSize // for each node, because one node may get all requests
	}
	return backend.PoolTurn(ctx, b.client, size)
}

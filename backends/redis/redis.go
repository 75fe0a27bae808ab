// Package redis keeps token records in Redis or Valkey, 6 or later: what many
// workers on many machines share. One server, Sentinel and Cluster are all
// reached through the client that the caller brings.
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
// Everything about a key carries its name as a hash tag, and so lies in one
// slot of a Cluster:
//
//	tokens:{ana%40contoso.com}        a hash: version, modified (µs since 1970), data:<version>
//	tokens:{ana%40contoso.com}:lease  who refreshes the record; expires by itself
//	tokens:{ana%40contoso.com}:wake   a channel, no key: a new version, or "" for "look again"
//
// A record never expires: 90 days without a refresh end its use, not the
// store.
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
	// Prefix begins the name of every key and channel, as it is, and keeps
	// apart those who share a server: whatever their prefixes, two Backends
	// see each other's records only where the prefixes are equal. A prefix
	// whose first brace begins "{}" is refused, since Cluster would then scatter
	// what belongs together.
	Prefix string
}

// Backend is a [core.TokenBackend] over a Redis server, Sentinel or Cluster.
// Any number of Backends, in any number of processes, can share one.
type Backend struct {
	client redis.UniversalClient
	prefix string
	wakes  backend.Wakes
}

var (
	_ core.TokenBackend = (*Backend)(nil)
	_ core.Leaser       = (*Backend)(nil)
	_ core.Watcher      = (*Backend)(nil)
	_ core.Lister       = (*Backend)(nil)
	_ core.Locator      = (*Backend)(nil)
	_ core.Pinger       = (*Backend)(nil)
)

// New returns a backend that uses client, which stays the caller's to close.
//
// It refuses clients that give wrong answers. One that reads from replicas, or
// from a cache of its own, may show the holder of a lease the record from before
// the last refresh, and have it spend a refresh token for the second time. A
// Ring sends the keys of a shard that is down to another one, where every
// record is absent. An AutoPipeliner hides that a Cluster is one, whose keys
// would be listed in part.
func New(client redis.UniversalClient, o Options) (*Backend, error) {
	if err := origin.Require(client); err != nil {
		return nil, err
	}
	if err := checkClient(client); err != nil {
		return nil, origin.Fail("new", "", err)
	}
	if brace := strings.IndexByte(o.Prefix, '{'); brace >= 0 && strings.HasPrefix(o.Prefix[brace:], "{}") {
		return nil, origin.Fail("new", "", fmt.Errorf("%w: the prefix %q begins an empty hash tag", core.ErrInvalidKey, o.Prefix))
	}
	b := &Backend{client: client, prefix: o.Prefix}
	b.wakes.Listen = b.listen
	return b, nil
}

// checkClient says what is wrong with a client that gives wrong answers.
func checkClient(client redis.UniversalClient) (err error) {
	defer func() {
		if recover() != nil { // asked for its options, a zero client panics
			err = errors.New("the client is a zero value, and not made by go-redis")
		}
	}()
	switch c := client.(type) {
	case *redis.ClusterClient:
		if o := c.Options(); o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			return errors.New("the client reads from replicas, which may be behind")
		}
	case *redis.Client:
		if o := c.Options(); o.ClientSideCache != nil || o.ClientSideCacheConfig != nil {
			return errors.New("the client reads from a cache of its own, which may be behind")
		}
	case *redis.AutoPipeliner:
		return errors.New("an AutoPipeliner hides what it belongs to: pass its client")
	case *redis.Ring:
		return errors.New("a Ring takes the records of a shard that is down for absent")
	}
	return nil
}

// Place implements [core.Locator]: Backends are one place where they have the same
// client and prefix. Two clients of one address may lead to different servers.
func (b *Backend) Place() any {
	type place struct {
		client redis.UniversalClient
		prefix string
	}
	return place{b.client, b.prefix}
}

// origin names the backend in its errors.
const origin backend.Origin = "redis"

func (b *Backend) op(name, key string) backend.Op {
	op := origin.Op(name, key)
	op.Classify = b.classify
	return op
}

// classify says of a key of another type that it is no record.
//
// READONLY is not made a core.ErrReadOnly, which is final: it is what a master says
// that has just been replaced, and in a moment the client will have found the new one.
//
// A Cluster's client goes on dialling a master that crashed until it next reads which
// node serves which slot, a minute later by default. It is told to read that now.
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

// turn waits for a turn at the client. What another kind of client has of connections
// isn't known, and isn't bounded.
func (b *Backend) turn(ctx context.Context) (done func(), err error) {
	size := 0
	switch c := b.client.(type) {
	case *redis.Client:
		size = c.Options().PoolSize
	case *redis.ClusterClient:
		size = c.Options().PoolSize // to each node: one node may have all that is asked for
	}
	return backend.Turn(ctx, b.client, max(min(size, 1), size*3/4))
}

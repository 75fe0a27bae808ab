package redis

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Keys implements [core.Lister] by SCAN, on each master of a Cluster. A record that is
// saved or deleted meanwhile may be listed or not. While a Cluster moves slots from one
// node to another, a key that is being moved can be missed.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		pattern := literally(b.naming.Prefix) + "*}"
		seen := make(map[string]bool) // SCAN may return a key twice
		return b.eachMaster(ctx, func(master redis.Cmdable) error {
			scan := master.ScanType(ctx, 0, pattern, 1000, "hash").Iterator()
			for scan.Next(ctx) {
				key, ok := b.key(scan.Val())
				if !ok || seen[key] {
					continue
				}
				seen[key] = true
				if !yield(key) {
					return errStopped
				}
			}
			return scan.Err()
		})
	})
}

// errStopped ends a listing whose caller has seen enough. No caller gets this error.
var errStopped = errors.New("the caller of Keys has stopped")

// eachMaster calls do for each node that has records, one after the other: several in a
// Cluster, otherwise one. The first error ends the calls.
func (b *Backend) eachMaster(ctx context.Context, do func(redis.Cmdable) error) error {
	// An interface, so that a wrapped ClusterClient is recognized, too.
	cluster, ok := b.client.(interface {
		ForEachMaster(context.Context, func(context.Context, *redis.Client) error) error
	})
	if !ok {
		return do(b.client)
	}
	var mu sync.Mutex
	var masters []*redis.Client
	err := cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, c)
		return nil
	})
	for _, master := range masters {
		if err != nil {
			return err
		}
		err = do(master)
	}
	return err
}

var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// literally is the pattern that matches s alone.
func literally(s string) string { return literal.Replace(s) }

// namesAfter makes the names of records, without the brace at the end. Redis accepts any
// bytes in a key. Braces are escaped all the same, because a name with a brace would no
// longer be a hash tag. Other bytes are escaped so that names are the same as in other
// stores, and easy to type.
func namesAfter(prefix string) backend.Naming {
	return backend.Naming{Prefix: prefix + "{", Escape: '%'}
}

// place has the names of everything that belongs to a key.
type place struct {
	record  string
	lease   string
	channel string
}

func (b *Backend) place(key string) place { return placeOf(b.naming.Name(key) + "}") }

func placeOf(record string) place {
	return place{record: record, lease: record + ":lease", channel: record + ":wake"}
}

// key returns the key of a record's name. A record of another backend has none, even if
// its prefix begins with this one's, because names have no braces.
func (b *Backend) key(record string) (key string, ok bool) {
	name, ok := strings.CutSuffix(record, "}")
	if !ok {
		return "", false
	}
	return b.naming.Key(name)
}

package redis

import (
	"context"
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
		masters, err := b.masters(ctx)
		if err != nil {
			return err
		}
		pattern := literally(b.prefix) + "{*}"
		seen := make(map[string]bool) // SCAN may return a key twice
		for _, master := range masters {
			scan := master.ScanType(ctx, 0, pattern, 1000, "hash").Iterator()
			for scan.Next(ctx) {
				key, ok := b.key(scan.Val())
				if !ok || seen[key] {
					continue
				}
				seen[key] = true
				if !yield(key) {
					return nil
				}
			}
			if err := scan.Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// masters returns the nodes that have records: several in a Cluster, otherwise one.
func (b *Backend) masters(ctx context.Context) ([]redis.Cmdable, error) {
	// An interface, so that a wrapped ClusterClient is recognized, too.
	cluster, ok := b.client.(interface {
		ForEachMaster(context.Context, func(context.Context, *redis.Client) error) error
	})
	if !ok {
		return []redis.Cmdable{b.client}, nil
	}
	var mu sync.Mutex
	var masters []redis.Cmdable
	err := cluster.ForEachMaster(ctx, func(_ context.Context, c *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, c)
		return nil
	})
	return masters, err
}

var literal = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// literally is the pattern that matches s alone.
func literally(s string) string { return literal.Replace(s) }

// Redis accepts any bytes in a key. Braces are escaped all the same, because a name with
// a brace would no longer be a hash tag. Other bytes are escaped so that names are the
// same as in other stores, and easy to type.
var naming = backend.Naming{Escape: '%'}

// place has the names of everything that belongs to a key.
type place struct {
	record  string
	lease   string
	channel string
}

func (b *Backend) place(key string) place { return b.placeOf(naming.Name(key)) }

func (b *Backend) placeOf(name string) place {
	record := b.prefix + "{" + name + "}"
	return place{record: record, lease: record + ":lease", channel: record + ":wake"}
}

// key returns the key of a record's name. A record of another backend has none, even if
// its prefix begins with this one's, because names have no braces.
func (b *Backend) key(record string) (key string, ok bool) {
	name, ok := strings.CutPrefix(record, b.prefix+"{")
	if !ok {
		return "", false
	}
	if name, ok = strings.CutSuffix(name, "}"); !ok {
		return "", false
	}
	return naming.Key(name)
}

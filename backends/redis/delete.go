package redis

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core/backend"
)

var remove = redis.NewScript(`
if redis.call('DEL', KEYS[1]) == 1 then
  redis.pcall('PUBLISH', ARGV[1], '')
end
return 1
`)

// Delete implements [core.TokenBackend]. The lease stays, because it belongs to its
// holder.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, b.op("delete", key), func() error {
		at := b.place(key)
		return remove.Run(ctx, b.client, []string{at.record}, at.channel).Err()
	})
}

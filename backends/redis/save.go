package redis

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
)

// save compares and writes in one step. The version to come is made by the
// caller, and is its signature too: the client sends a command again when the
// connection broke before the answer, and the second time the script must find
// that the write is its own, rather than a conflict.
//
// A damaged record, one without a version, is neither absent nor any version.
//
// PUBLISH is called last and by pcall: scripts aren't rolled back, and a server
// whose ACL forbids it must not turn a save that is done into an error.
var save = redis.NewScript(`
local stored = redis.call('HGET', KEYS[1], 'version')
if stored == ARGV[2] then
  return 1
end
if ARGV[1] ~= '' then
  if not stored then
    stored = redis.call('EXISTS', KEYS[1]) == 0 and '\0absent' or ''
  end
  if stored ~= ARGV[1] then
    return 0
  end
end
local now = redis.call('TIME')
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'modified', now[1] .. string.format('%06d', now[2]), 'data', ARGV[4])
redis.pcall('PUBLISH', ARGV[3], '')
return 1
`)

// Save implements [core.TokenBackend].
//
// The client may send the save twice, when the answer to the first was lost. In
// the rare case that somebody else replaced the record in between, the second
// answers core.ErrConflict although the first was stored, and seen: whoever
// replaced it had loaded it.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if err := origin.Admit(ctx, "save", key); err != nil {
		return "", err
	}
	if len(rec.Data) == 0 {
		return "", origin.Fail("save", key, fmt.Errorf("%w: no data", core.ErrCorrupt))
	}
	at, next := b.place(key), rand.Text()
	// The data come last: a server that knows no scripts quotes the beginning
	// of the arguments in its error.
	saved, err := save.Run(ctx, b.client, []string{at.record}, string(rec.Version), next, at.channel, rec.Data).Bool()
	if err != nil {
		return "", b.fail("save", key, err)
	}
	if !saved {
		return "", origin.Fail("save", key, core.ErrConflict)
	}
	return core.Version(next), nil
}

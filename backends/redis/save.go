package redis

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// save compares and writes in one step. The caller makes the new version. By that version the
// script recognizes its own write: if the connection breaks before the answer, the client
// sends the command again, and the second run must not find a conflict.
//
// The data are an argument, or were written before into the field of the new version, and
// are removed again if the script refuses.
//
// A damaged record, which has no version, is neither absent nor any version.
//
// Scripts aren't rolled back. So the order of commands matters. TIME, which an ACL may
// not allow, comes before any write. Commands that can fail for lack of memory come while
// the old data are still there. PUBLISH comes last and by pcall, so that an ACL that
// forbids it doesn't make a completed save an error.
const saveScript = `
local key, known, version, channel, data = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local stored = redis.call('HGET', key, 'version')
if stored == version then
  return 1
end
if known ~= '\0any' then
  if not stored then
    stored = redis.call('EXISTS', key) == 0 and '' or '\0damaged'
  end
  if stored ~= known then
    redis.call('HDEL', key, 'data:' .. version)
    return 0
  end
end
local now = redis.call('TIME')
if not stored then
  redis.call('DEL', key)
end
if data then
  redis.call('HSET', key, 'data:' .. version, data)
end
redis.call('HSET', key, 'version', version, 'modified', now[1] .. string.format('%06d', now[2]))
if stored then
  redis.call('HDEL', key, 'data:' .. stored)
end
redis.pcall('PUBLISH', channel, version)
return 1
`

var save = redis.NewScript(saveScript)

// Save implements [core.TokenBackend].
//
// If the answer to a save was lost, the client sends it again. In the rare case that
// another process replaced the record in between, the second save returns
// core.ErrConflict although the first was stored. Nothing is lost then, because the other
// process had loaded the first.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	op := origin.SaveOp(key, rec, 0)
	op.Classify = b.classify
	return backend.DoValue(ctx, op, func() (core.Version, error) {
		next := core.Version(rand.Text())
		saved, err := b.write(ctx, b.place(key), rec, next)
		if err == nil && !saved {
			err = core.ErrConflict
		}
		return next, err
	})
}

// large is the size from which a transaction is faster: the server copies all arguments
// of a script into Lua before it runs.
const large = 8 << 10

// write runs the script. If it replaces a large record, the data come before it in the
// same transaction. If that fails in any way, the script alone is tried next, and finds
// out what was done: go-redis doesn't send a transaction again if the answer was lost,
// and tells little about why a server refused it.
func (b *Backend) write(ctx context.Context, at place, rec core.Record, next core.Version) (saved bool, err error) {
	keys, args := []string{at.record}, []any{string(rec.Version), string(next), at.channel}
	if len(rec.Data) >= large && rec.Version != core.AnyVersion && rec.Version != core.Absent {
		tx := b.client.TxPipeline()
		tx.HSet(ctx, at.record, fieldData+string(next), []byte(rec.Data))
		// Not by its digest: if the server doesn't know the script, the data would remain
		// there.
		answer := tx.Eval(ctx, saveScript, keys, args...)
		if _, err := tx.Exec(ctx); err == nil {
			return answer.Bool()
		}
	}
	saved, err = save.Run(ctx, b.client, keys, append(args, []byte(rec.Data))...).Bool()
	if redis.HasErrorPrefix(err, "unknown command") {
		err = errNoScripts
	}
	return saved, err
}

// errNoScripts replaces the error of a server without EVALSHA, which quotes the beginning
// of its arguments, with the data.
var errNoScripts = errors.New("the server doesn't run scripts (EVALSHA)")

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

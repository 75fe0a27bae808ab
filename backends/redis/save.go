package redis

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// save compares and writes in one step. The version to come is made by the
// caller, and is its signature too: the client sends a command again when the
// connection broke before the answer, and the second time the script must find
// that the write is its own, rather than a conflict.
//
// Data are given to it, or else were set before it in the field of the version
// to come, and are removed again when it answers no.
//
// A damaged record, one without a version, is neither absent nor any version.
//
// Scripts aren't rolled back. So TIME, which an ACL may have forgotten, comes
// before any write; what can be refused for want of memory, while the data from
// before are still there; and PUBLISH last and by pcall, so that an ACL that
// forbids it doesn't turn a save that is done into an error.
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
// The client may send the save twice, when the answer to the first was lost. In
// the rare case that somebody else replaced the record in between, the second
// answers core.ErrConflict although the first was stored, and seen: whoever
// replaced it had loaded it.
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

// large is where handing the data to a script takes the server longer than a
// transaction does: it copies all arguments into Lua before it runs one.
const large = 8 << 10

// write runs the script. Where it replaces a large record, the data come before
// it in the same transaction. Whatever goes wrong with that, the script alone is
// tried next, and finds what was done: go-redis doesn't send a transaction again
// whose answer was lost, and says little of why a server refused it.
func (b *Backend) write(ctx context.Context, at place, rec core.Record, next core.Version) (saved bool, err error) {
	keys, args := []string{at.record}, []any{string(rec.Version), string(next), at.channel}
	if len(rec.Data) >= large && rec.Version != core.AnyVersion && rec.Version != core.Absent {
		tx := b.client.TxPipeline()
		tx.HSet(ctx, at.record, fieldData+string(next), []byte(rec.Data))
		// Not by its digest: a script that is unknown would leave the data behind.
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

// errNoScripts stands for the words of a server without EVALSHA, which quote
// the beginning of its arguments, data included.
var errNoScripts = errors.New("the server knows no scripts")

package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Fields of a record's hash. That of the data is followed by the version, and
// so says which data a version has.
const (
	fieldVersion  = "version"
	fieldModified = "modified"
	fieldData     = "data:"
)

// Load implements [core.TokenBackend]. A key that holds something other than
// a record is core.ErrCorrupt, as is a record without data or version.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, b.op("load", key), func() (core.Record, error) {
		return b.load(ctx, b.place(key))
	})
}

func (b *Backend) load(ctx context.Context, at place) (core.Record, error) {
	done, err := b.turn(ctx)
	if err != nil {
		return core.Record{}, err
	}
	// The whole hash, rather than the fields: a hash without any of them is
	// damaged, and no key at all is absent.
	stored, err := b.client.HGetAll(ctx, at.record).Result()
	done()
	if err != nil {
		return core.Record{}, err
	}
	if len(stored) == 0 {
		return core.Record{}, core.ErrNotFound
	}
	version := stored[fieldVersion]
	// The client made this string for us alone. Bytes takes it as it is, as
	// for any answer; a conversion would copy it.
	data, err := redis.NewStringResult(stored[fieldData+version], nil).Bytes()
	return core.Record{Data: data, Version: core.Version(version), Modified: modified(stored[fieldModified])}, err
}

// Check implements [core.TokenBackend].
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, b.op("check", key), func() (bool, error) {
		n, err := b.client.Exists(ctx, b.place(key).record).Result()
		return n > 0, err
	})
}

// modified reads what Save's script wrote. A time that can't be read is none:
// it is no reason to refuse the token beside it.
func modified(micros string) time.Time {
	n, err := strconv.ParseInt(micros, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(n)
}

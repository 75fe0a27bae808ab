package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Fields of a record's hash. The name of the data's field ends with the version, so it
// tells to which version the data belong.
const (
	fieldVersion  = "version"
	fieldModified = "modified"
	fieldData     = "data:"
)

// Load implements [core.TokenBackend]. A key with another type is core.ErrCorrupt, and so
// is a record without data or version.
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
	// The whole hash is read, because a hash without these fields is damaged, and only a
	// missing key is absent.
	stored, err := b.client.HGetAll(ctx, at.record).Result()
	done()
	if err != nil {
		return core.Record{}, err
	}
	if len(stored) == 0 {
		return core.Record{}, core.ErrNotFound
	}
	version := stored[fieldVersion]
	// The client made this string for us alone. Bytes uses it as it is; a conversion
	// would copy it.
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

// modified reads the time that Save's script wrote. A time that can't be read counts as
// none: the token beside it must not be refused because of it.
func modified(micros string) time.Time {
	n, err := strconv.ParseInt(micros, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(n)
}

package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
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
	if err := origin.Admit(ctx, "load", key); err != nil {
		return core.Record{}, err
	}
	done, err := b.turns.take(ctx)
	if err != nil {
		return core.Record{}, origin.Fail("load", key, err)
	}
	// The whole hash, rather than the fields: a hash without any of them is
	// damaged, and no key at all is absent.
	stored, err := b.client.HGetAll(ctx, b.place(key).record).Result()
	done()
	if err != nil {
		return core.Record{}, b.fail("load", key, orCorrupt(err))
	}
	if len(stored) == 0 {
		return core.Record{}, origin.Fail("load", key, core.ErrNotFound)
	}
	version := stored[fieldVersion]
	if version == "" {
		return core.Record{}, origin.Fail("load", key, fmt.Errorf("%w: no version", core.ErrCorrupt))
	}
	// The client made this string for us alone. Bytes takes it as it is, as
	// for any answer; a conversion would copy it.
	data, err := redis.NewStringResult(stored[fieldData+version], nil).Bytes()
	if err == nil && len(data) == 0 {
		err = fmt.Errorf("%w: no data", core.ErrCorrupt)
	}
	if err != nil {
		return core.Record{}, origin.Fail("load", key, err)
	}
	return core.Record{Data: data, Version: core.Version(version), Modified: modified(stored[fieldModified])}, nil
}

// Check implements [core.TokenBackend].
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	if err := origin.Admit(ctx, "check", key); err != nil {
		return false, err
	}
	n, err := b.client.Exists(ctx, b.place(key).record).Result()
	return n > 0, b.fail("check", key, err)
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

// orCorrupt says of a key of another type that it is no record.
func orCorrupt(err error) error {
	if redis.HasErrorPrefix(err, "WRONGTYPE") {
		return fmt.Errorf("%w: %w", core.ErrCorrupt, err)
	}
	return err
}

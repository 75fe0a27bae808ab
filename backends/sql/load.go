package sql

import (
	"context"
	"strconv"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Load implements [core.TokenBackend], with one statement.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, classified(origin.Op("load", key)), func() (core.Record, error) {
		done, err := b.turn(ctx)
		if err != nil {
			return core.Record{}, err
		}
		defer done()
		var (
			data              []byte
			version, modified int64
		)
		found, err := b.first(ctx, b.args(key), b.sql.load, &data, &version, &modified)
		if err == nil && !found {
			err = core.ErrNotFound
		}
		return core.Record{Data: data, Version: versionOf(version), Modified: time.UnixMicro(modified)}, err
	})
}

// Check implements [core.TokenBackend], with one statement. An empty record counts as
// stored.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, classified(origin.Op("check", key)), func() (bool, error) {
		return b.first(ctx, b.args(key), b.sql.check, new(int))
	})
}

// versionOf returns the version column as a Version.
func versionOf(column int64) core.Version {
	return core.Version(strconv.FormatInt(column, 10))
}

// columnOf is the reverse; ok is false for a text that versionOf never returned.
func columnOf(v core.Version) (column int64, ok bool) {
	column, err := strconv.ParseInt(string(v), 10, 64)
	return column, err == nil && versionOf(column) == v
}

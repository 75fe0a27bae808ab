package sql

import (
	"context"
	"strconv"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// Load implements [core.TokenBackend], with one statement.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	if err := origin.Admit(ctx, "load", key); err != nil {
		return core.Record{}, err
	}
	rec, err := b.load(ctx, key)
	if err != nil {
		return core.Record{}, origin.Fail("load", key, err)
	}
	return rec, nil
}

func (b *Backend) load(ctx context.Context, key string) (core.Record, error) {
	done, err := turn(ctx, b.turns)
	if err != nil {
		return core.Record{}, err
	}
	defer done()
	var (
		data              []byte
		version, modified int64
	)
	found, err := b.first(ctx, b.args(key), b.sql.load, &data, &version, &modified)
	switch {
	case err != nil:
		return core.Record{}, err
	case !found:
		return core.Record{}, core.ErrNotFound
	case len(data) == 0:
		return core.Record{}, core.ErrCorrupt
	}
	return core.Record{Data: data, Version: versionOf(version), Modified: time.UnixMicro(modified)}, nil
}

// versionOf is the version column as a Version.
func versionOf(column int64) core.Version {
	return core.Version(strconv.FormatInt(column, 10))
}

// columnOf is the other way round; ok is false for what versionOf never said.
func columnOf(v core.Version) (column int64, ok bool) {
	column, err := strconv.ParseInt(string(v), 10, 64)
	return column, err == nil && versionOf(column) == v
}

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
	found, err := query(ctx, b, args{"key": b.prefix + key}, b.sql.load, func(row scanner) (core.Record, error) {
		var (
			data              []byte
			version, modified int64
		)
		err := row.Scan(&data, &version, &modified)
		return core.Record{Data: data, Version: versionOf(version), Modified: time.UnixMicro(modified)}, err
	})
	switch {
	case err != nil:
		return core.Record{}, err
	case len(found) == 0:
		return core.Record{}, core.ErrNotFound
	case len(found[0].Data) == 0:
		return core.Record{}, core.ErrCorrupt
	}
	return found[0], nil
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

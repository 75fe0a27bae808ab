package sql

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// maxSize is a little less than the 16,777,215 bytes that MEDIUMBLOB holds, because the
// row must also fit into MariaDB's default max_allowed_packet of 16 MiB. It is the same
// on all databases, so that a record can move.
const maxSize = 16_000_000

// Save implements [core.TokenBackend], with one statement that compares and writes. (On
// MySQL and MariaDB there are two, if a record is created while its lease is held.)
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, classified(origin.SaveOp(key, rec, maxSize)), func() (core.Version, error) { return b.save(ctx, key, rec) })
}

// MaxSize implements [core.SizeLimiter]: 16,000,000 bytes.
func (b *Backend) MaxSize() int { return maxSize }

func (b *Backend) save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	// Every save changes the row: MySQL doesn't count a row that an UPDATE leaves unchanged.
	version := 1 + rand.Int64N(1<<62)
	a := b.args(key)
	a["data"], a["version"], a["now"] = []byte(rec.Data), version, time.Now().UnixMicro()
	if b.wakes != nil {
		a["news"] = savedNews(b.prefix+key, versionOf(version))
	}
	var statements []statement
	switch rec.Version {
	case core.AnyVersion:
		statements = b.sql.overwrite
	case core.Absent:
		statements = b.sql.create
	default:
		known, ok := columnOf(rec.Version)
		if !ok {
			return "", core.ErrConflict
		}
		a["known"], statements = known, b.sql.replace
	}
	switch saved, err := b.change(ctx, a, statements...); {
	case err != nil && !b.isStored(ctx, key, version):
		return "", err
	case err == nil && !saved:
		return "", core.ErrConflict
	}
	return versionOf(version), nil
}

// isStored finds out whether a save that failed is stored: the connection may have broken
// between the statement and its answer. Nobody else makes the same version.
func (b *Backend) isStored(ctx context.Context, key string, version int64) bool {
	stored, _, err := b.look(ctx, key)
	return err == nil && stored == versionOf(version)
}

// Delete implements [core.TokenBackend], with one statement, which removes the row. While
// a process holds the lease, a second statement removes the record alone, and the row is
// removed with the lease.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, classified(origin.Op("delete", key)), func() error {
		_, err := b.change(ctx, b.args(key), b.sql.remove...)
		return err
	})
}

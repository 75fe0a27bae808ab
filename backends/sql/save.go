package sql

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// maxSize is a little less than the 16,777,215 bytes that MEDIUMBLOB holds:
// the row must also fit into MariaDB's default max_allowed_packet of 16 MiB. It
// is the same on all databases, so that a record can move.
const maxSize = 16_000_000

// MaxSize implements [core.SizeLimiter].
func (b *Backend) MaxSize() int { return maxSize }

// Save implements [core.TokenBackend], with one statement that compares and
// writes. (On MySQL and MariaDB two, where a record is created while somebody
// holds its lease.)
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if err := origin.Admit(ctx, "save", key); err != nil {
		return "", err
	}
	version, err := b.save(ctx, key, rec)
	if err != nil {
		return "", origin.Fail("save", key, err)
	}
	return version, nil
}

func (b *Backend) save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	switch n := len(rec.Data); {
	case n == 0:
		return "", fmt.Errorf("%w: no data", core.ErrCorrupt)
	case n > maxSize:
		return "", fmt.Errorf("%w: %d bytes, the limit is %d", core.ErrTooLarge, n, maxSize)
	}
	version := 1 + rand.Int64N(1<<62)
	a := b.args(key)
	a["data"], a["version"], a["now"] = []byte(rec.Data), version, time.Now().UnixMicro()
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

// isStored looks what became of a save that failed: the connection may have
// broken between the statement and its answer, and versions are nobody else's.
func (b *Backend) isStored(ctx context.Context, key string, version int64) bool {
	now := b.glance(ctx, key)
	return now.err == nil && now.version == versionOf(version)
}

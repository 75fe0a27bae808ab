package memory

import (
	"bytes"
	"context"
	"strconv"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Save implements [core.TokenBackend].
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, origin.SaveOp(key, rec, 0), func() (core.Version, error) {
		version, err := b.swap(key, rec.Version, bytes.Clone(rec.Data))
		if err == nil {
			b.leases.Touch(key)
		}
		return version, err
	})
}

// swap stores data, which belongs to the backend from now on, in place of the version
// that the caller knows.
func (b *Backend) swap(key string, known core.Version, data []byte) (core.Version, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if known != core.AnyVersion && known != b.current(key) {
		return "", core.ErrConflict
	}
	// There is one counter for all keys, so that a key that was deleted and saved again
	// never gets a former version.
	b.saves++
	version := core.Version(strconv.FormatUint(b.saves, 10))
	b.records[key] = &record{data: func() []byte { return data }, version: version, modified: time.Now()}
	return version, nil
}

// Delete implements [core.TokenBackend].
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error {
		b.mu.Lock()
		delete(b.records, key)
		b.mu.Unlock()
		b.leases.Touch(key)
		return nil
	})
}

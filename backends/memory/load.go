package memory

import (
	"bytes"
	"context"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Load implements [core.TokenBackend].
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, origin.Op("load", key), func() (core.Record, error) {
		b.mu.RLock()
		stored, ok := b.records[key]
		b.mu.RUnlock()
		if !ok {
			return core.Record{}, core.ErrNotFound
		}
		return core.Record{Data: bytes.Clone(stored.data()), Version: stored.version, Modified: stored.modified}, nil
	})
}

// Check implements [core.TokenBackend].
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, origin.Op("check", key), func() (bool, error) {
		return b.version(key) != core.Absent, nil
	})
}

// version is the stored version of key, or Absent.
func (b *Backend) version(key string) core.Version {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.current(key)
}

// current is version for a caller that holds mu.
func (b *Backend) current(key string) core.Version {
	if stored, ok := b.records[key]; ok {
		return stored.version
	}
	return core.Absent
}

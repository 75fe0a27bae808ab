package memory

import (
	"bytes"
	"context"

	"github.com/graphtoken/graphtoken/core"
)

// Load implements [core.TokenBackend].
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	if err := origin.Admit(ctx, "load", key); err != nil {
		return core.Record{}, err
	}
	b.mu.RLock()
	stored, ok := b.records[key]
	b.mu.RUnlock()
	if !ok {
		return core.Record{}, origin.Fail("load", key, core.ErrNotFound)
	}
	return core.Record{
		Data:     bytes.Clone(stored.data()),
		Version:  stored.version,
		Modified: stored.modified,
	}, nil
}

// current is the stored version of key, or Absent.
func (b *Backend) current(key string) core.Version {
	if stored, ok := b.records[key]; ok {
		return stored.version
	}
	return core.Absent
}

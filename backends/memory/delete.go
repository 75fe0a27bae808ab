package memory

import (
	"context"

	"github.com/graphtoken/graphtoken/core/backend"
)

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

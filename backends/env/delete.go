package env

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Delete implements [core.TokenBackend].
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error {
		return b.change(key, b.place.unset)
	})
}

// change changes a variable, and wakes the waiters for it.
func (b *Backend) change(key string, do func(name string) error) error {
	if b.readOnly {
		return core.ErrReadOnly
	}
	name := b.name(key)
	err := b.place.locked(func() error { return do(name) })
	if err == nil {
		b.place.leases.Touch(name)
	}
	return err
}

package bitwarden

import (
	"context"
	"errors"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Delete implements [core.TokenBackend]. Bitwarden moves the secret to the organization's
// trash. Delete reads the secret first, because it may have another name by now than the
// key's.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error {
		end, err := b.turn(ctx, key)
		if err != nil {
			return err
		}
		defer end()
		s, err := b.find(ctx, key)
		if err == nil {
			err = b.secrets.Delete(ctx, s.ID)
		}
		if err == nil || errors.Is(err, core.ErrNotFound) {
			b.places.forget(key, s.ID)
			return nil
		}
		return err
	})
}

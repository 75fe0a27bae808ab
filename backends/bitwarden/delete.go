package bitwarden

import (
	"context"
	"errors"

	"github.com/graphtoken/graphtoken/core"
)

// Delete implements [core.TokenBackend]. Bitwarden moves the secret to the
// organization's trash. It is read first, since what had the key's name may be
// called something else by now.
func (b *Backend) Delete(ctx context.Context, key string) error {
	if err := origin.Admit(ctx, "delete", key); err != nil {
		return err
	}
	end, err := b.turns.take(ctx, key)
	if err != nil {
		return origin.Fail("delete", key, err)
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
	return origin.Fail("delete", key, err)
}

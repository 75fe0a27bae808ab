package bitwarden

import (
	"context"
	"errors"
	"iter"

	"github.com/graphtoken/graphtoken/core"
)

// Keys implements [core.Lister]. It yields names, not ids, and passes over
// secrets whose names are no keys. It is one request, but for clients that list
// secrets without their projects, as the official SDK does: then, with
// Options.ProjectID, it is one more for every name.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := ctx.Err(); err != nil {
			yield("", origin.Fail("keys", "", err))
			return
		}
		ids, err := b.list(ctx)
		if err != nil {
			yield("", origin.Fail("keys", "", err))
			return
		}
		for key, same := range ids {
			ours, err := b.anyHolds(ctx, same, key)
			if err != nil {
				yield("", origin.Fail("keys", "", err))
				return
			}
			if ours && !yield(key, nil) {
				return
			}
		}
	}
}

// anyHolds reports whether one of the secrets of a key's name is the key's,
// and asks where the list didn't say.
func (b *Backend) anyHolds(ctx context.Context, ids []Identifier, key string) (bool, error) {
	for _, id := range ids {
		if b.options.ProjectID == "" || id.ProjectID != "" {
			return true, nil
		}
		s, err := b.secrets.Get(ctx, id.ID)
		switch {
		case err == nil && b.holds(s, key):
			return true, nil
		case err != nil && !errors.Is(err, core.ErrNotFound):
			return false, err
		}
	}
	return false, nil
}

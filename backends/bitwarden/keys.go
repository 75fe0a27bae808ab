package bitwarden

import (
	"context"
	"errors"
	"iter"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Keys implements [core.Lister]. It returns names, not ids, and skips secrets whose names
// aren't keys. It takes one request. Some clients, such as the official SDK, list secrets
// without their projects: with them and Options.ProjectID it takes one more request for
// each secret whose name is a key.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		ids, err := b.list(ctx)
		for key, same := range ids {
			held, err := b.held(ctx, same, key)
			if err != nil {
				return err
			}
			if len(held) > 0 && !yield(key) {
				return nil
			}
		}
		return err
	})
}

// held returns those secrets of a key's name that are the key's. It asks the server if
// the list doesn't say.
func (b *Backend) held(ctx context.Context, ids []Identifier, key string) ([]string, error) {
	var held []string
	for _, id := range ids {
		ours := b.options.ProjectID == "" || id.ProjectID != ""
		if !ours {
			s, err := b.secrets.Get(ctx, id.ID)
			if err != nil && !errors.Is(err, core.ErrNotFound) {
				return nil, err
			}
			ours = err == nil && b.holds(s, key)
		}
		if ours {
			held = append(held, id.ID)
		}
	}
	return held, nil
}

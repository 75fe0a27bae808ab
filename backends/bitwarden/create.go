package bitwarden

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// create stores value in a new secret, if the version allows it.
//
// Bitwarden accepts several secrets with the same name, so two processes that find none
// may both create one. Therefore create lists the secrets once more. Its secret is the
// record only if no other one has the name in a list that was asked for after the
// creation, which is true for at most one process. A process that sees another's secret
// deletes its own again and returns core.ErrConflict.
func (b *Backend) create(ctx context.Context, key string, value tokencache.Secret, over core.Version) (Secret, error) {
	switch {
	case over != core.AnyVersion && over != core.Absent:
		return Secret{}, core.ErrConflict
	case isID(key):
		return Secret{}, fmt.Errorf("%w: no secret has this id, and one with a chosen id can't be created: Bitwarden chooses the ids", core.ErrNotFound)
	case b.options.ProjectID == "":
		return Secret{}, errors.New("no secret has this name, and Options.ProjectID must be set to create one")
	}
	s, err := b.secrets.Create(ctx, Secret{
		Key:            b.name(key),
		Value:          value,
		OrganizationID: b.options.OrganizationID,
		ProjectID:      b.options.ProjectID,
	})
	if err != nil {
		return Secret{}, err
	}
	rivals, err := b.rivals(ctx, key, s.ID)
	switch {
	case err != nil:
		return Secret{}, err
	case len(rivals) == 0:
		b.places.remember(key, s)
		return s, nil
	}
	if err := b.secrets.Delete(ctx, s.ID); err != nil && !errors.Is(err, core.ErrNotFound) {
		return Secret{}, fmt.Errorf("%w; the last of these was just created, and deleting it failed: %w", &DuplicateError{Name: b.name(key), IDs: append(rivals, s.ID)}, err)
	}
	return Secret{}, core.ErrConflict
}

// rivals returns the ids of the key's other secrets, without the one just created. Among
// processes that see each other's secrets, the one with the smallest id waits until the
// others have deleted theirs. One of those may have listed before there was anything to
// see, and keeps its secret: then the process that waited deletes its own.
func (b *Backend) rivals(ctx context.Context, key, id string) ([]string, error) {
	for wait := firstLook; ; wait *= 2 {
		ids, err := b.list(ctx)
		if err != nil {
			return nil, err
		}
		others := slices.DeleteFunc(ids[key], func(other Identifier) bool { return other.ID == id })
		rivals, err := b.held(ctx, others, key)
		if err != nil || len(rivals) == 0 || slices.Min(rivals) < id || wait > lastLook {
			return rivals, err
		}
		if err := backend.Sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

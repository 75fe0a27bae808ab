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

// create stores value in a new secret, where the version allows it.
//
// Bitwarden takes several secrets of one name, so two processes that find none
// may both create one. Hence a second look: a name is whose secret is the only
// one in a list that was asked for after it was created, which is true of one
// process at most. Whoever sees another's deletes its own again, and answers
// core.ErrConflict.
func (b *Backend) create(ctx context.Context, key string, value tokencache.Secret, over core.Version) (Secret, error) {
	switch {
	case over != core.AnyVersion && over != core.Absent:
		return Secret{}, core.ErrConflict
	case isID(key):
		return Secret{}, fmt.Errorf("%w: there is no secret with this id, and Bitwarden chooses those of new ones", core.ErrNotFound)
	case b.options.ProjectID == "":
		return Secret{}, errors.New("there is no secret of this name, and creating one needs Options.ProjectID")
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
		return Secret{}, fmt.Errorf("%w; the last is the one just created: %w", &DuplicateError{Name: b.name(key), IDs: append(rivals, s.ID)}, err)
	}
	return Secret{}, core.ErrConflict
}

// rivals returns the ids of the key's other secrets, beside the one just created.
// Of those who see each other, the one with the least id waits for the others to
// go. One of them may have had its look before there was anything to see, and
// stays: then it is the one who waited that goes.
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

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

// Save implements [core.TokenBackend]. With a version it reads the secret and then writes
// it, which takes two requests. If another process writes between them, its save is
// overwritten. With core.AnyVersion it writes at once if the secret is known, which takes
// one request. The secret's name, note and project stay as they are. But the one request
// must send them too: if somebody has changed them since they were last read, it restores
// the old ones.
//
// Creating a secret takes three requests. If several processes create one with the same
// name at the same time, at most one succeeds: with core.Absent the others get
// ErrConflict, with core.AnyVersion they overwrite the one that stays.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, origin.SaveOp(key, rec, 0), func() (core.Version, error) {
		value := backend.EncodeText(rec.Data, nil)
		if len(value) > maxValue {
			as := ""
			if len(value) > len(rec.Data) {
				as = " as base64"
			}
			return "", fmt.Errorf("%w: %d bytes%s, the limit is %d", core.ErrTooLarge, len(value), as, maxValue)
		}
		end, err := b.turn(ctx, key)
		if err != nil {
			return "", err
		}
		defer end()
		s, err := b.save(ctx, key, tokencache.Secret(value), rec.Version)
		return version(s), err
	})
}

// maxValue is the largest length of a value. Bitwarden's clients accept 25,000
// characters. Its server accepts 35,000 characters of encrypted text, which is about
// 26,000 bytes. 25,000 bytes are within both limits.
const maxValue = 25_000

// MaxSize implements [core.SizeLimiter]: 25,000 bytes of text, such as JSON and Fernet's
// tokens. Bytes that aren't text, such as a keyring's envelopes, need a third more room,
// so their limit is 18,744.
func (b *Backend) MaxSize() int { return maxValue }

func (b *Backend) save(ctx context.Context, key string, value tokencache.Secret, over core.Version) (Secret, error) {
	if known, _ := b.places.get(key); over == core.AnyVersion && !known.RevisionDate.IsZero() {
		s, err := b.update(ctx, key, known, value)
		if !errors.Is(err, core.ErrNotFound) {
			return s, err
		}
		// It was deleted, or the account may not write it. Reading it tells which.
	}
	refused := "" // the id of a secret that couldn't be written
	for range 3 {
		current, err := b.find(ctx, key)
		switch {
		case errors.Is(err, core.ErrNotFound):
			s, err := b.create(ctx, key, value, over)
			if over != core.AnyVersion || !errors.Is(err, core.ErrConflict) {
				return s, err
			}
			continue // another process created one at the same time: overwrite that
		case err != nil:
			return Secret{}, err
		case current.ID == refused:
			return Secret{}, fmt.Errorf("%w: the machine account may read the secret but not write it", core.ErrReadOnly)
		case over != core.AnyVersion && over != version(current):
			return Secret{}, core.ErrConflict
		}
		s, err := b.update(ctx, key, current, value)
		if !errors.Is(err, core.ErrNotFound) {
			return s, err
		}
		// Bitwarden gives the same answer for a secret that doesn't exist and for one
		// that the account may only read. Looking again shows which it is.
		refused = current.ID
	}
	return Secret{}, errors.New("other processes created and deleted the secret again and again during the save: try again")
}

// update writes value into the secret s.
func (b *Backend) update(ctx context.Context, key string, s Secret, value tokencache.Secret) (Secret, error) {
	s.Value = value
	updated, err := b.secrets.Update(ctx, s)
	if err != nil {
		return Secret{}, err
	}
	s.RevisionDate = updated.RevisionDate
	b.places.remember(key, s)
	return s, nil
}

// turn makes the calls that change one key's record run one after the other, each from
// its check of the version to its write.
func (b *Backend) turn(ctx context.Context, key string) (end func(), err error) {
	return backend.Turn(ctx, [...]any{b, key}, 1)
}

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
		Key:            b.naming.Name(key),
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
		return Secret{}, fmt.Errorf("%w; the last of these was just created, and deleting it failed: %w", &DuplicateError{Name: b.naming.Name(key), IDs: append(rivals, s.ID)}, err)
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

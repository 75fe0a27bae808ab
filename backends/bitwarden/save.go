package bitwarden

import (
	"context"
	"errors"
	"fmt"

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

// MaxSize implements [core.SizeLimiter]. It is the limit for text, such as JSON and
// Fernet's tokens. Bytes that aren't text, such as a keyring's envelopes, need a third
// more room, so their limit is 18,744.
func (b *Backend) MaxSize() int { return maxValue }

func (b *Backend) save(ctx context.Context, key string, value tokencache.Secret, over core.Version) (Secret, error) {
	if at, ok := b.places.get(key); ok && at.read && over == core.AnyVersion {
		s, err := b.update(ctx, key, at.secret, value)
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
	type record struct {
		b   *Backend
		key string
	}
	return backend.Turn(ctx, record{b, key}, 1)
}

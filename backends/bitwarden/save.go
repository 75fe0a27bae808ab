package bitwarden

import (
	"context"
	"errors"
	"fmt"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Save implements [core.TokenBackend]. With a version it reads the secret and
// then writes it, two requests: another process that writes between them is
// overwritten. With core.AnyVersion it writes at once where the secret is known,
// one request. A secret keeps its name, its note and its project; in that one
// request, which must send them too, they are what was last read, whatever
// somebody made of them since.
//
// Creating a secret is three requests. Of several processes that create one of
// the same name at one time one succeeds at most: with core.Absent the others
// get ErrConflict, with core.AnyVersion they write over the one that stays.
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

// maxValue is how long a value may be. Bitwarden's clients take 25,000
// characters, and its server 35,000 of what they become encrypted, which is
// about 26,000 bytes: that many bytes are within both.
const maxValue = 25_000

// MaxSize implements [core.SizeLimiter]. It is the limit of text, which JSON is
// and what the managers of package crypto write; bytes that are no text take a
// third more room, and so their limit is 18,744.
func (b *Backend) MaxSize() int { return maxValue }

func (b *Backend) save(ctx context.Context, key string, value tokencache.Secret, over core.Version) (Secret, error) {
	if at, ok := b.places.get(key); ok && at.read && over == core.AnyVersion {
		s, err := b.update(ctx, key, at.secret, value)
		if !errors.Is(err, core.ErrNotFound) {
			return s, err
		}
		// It was deleted, or is not ours to write. A look tells.
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
			continue // another's, created at the same time, is there to be overwritten
		case err != nil:
			return Secret{}, err
		case current.ID == refused:
			return Secret{}, fmt.Errorf("%w: the account may read the secret, and not write it", core.ErrReadOnly)
		case over != core.AnyVersion && over != version(current):
			return Secret{}, core.ErrConflict
		}
		s, err := b.update(ctx, key, current, value)
		if !errors.Is(err, core.ErrNotFound) {
			return s, err
		}
		// Bitwarden doesn't tell a secret that is gone from one that the account
		// may only read. Another look does.
		refused = current.ID
	}
	return Secret{}, errors.New("others create and delete the secret all the time")
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

// turn has those who change one key's record do so one after the other, from the look
// at the version to the write.
func (b *Backend) turn(ctx context.Context, key string) (end func(), err error) {
	type record struct {
		b   *Backend
		key string
	}
	return backend.Turn(ctx, record{b, key}, 1)
}

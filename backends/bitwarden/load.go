package bitwarden

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Load implements [core.TokenBackend]. Several secrets of the key's name are a
// [*DuplicateError].
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, origin.Op("load", key), func() (core.Record, error) {
		s, err := b.find(ctx, key)
		if err != nil {
			return core.Record{}, err
		}
		data, err := backend.DecodeText(s.Value.Reveal())
		return core.Record{Data: data, Version: version(s), Modified: s.RevisionDate}, err
	})
}

// Check implements [core.TokenBackend].
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, origin.Op("check", key), func() (bool, error) {
		_, err := b.find(ctx, key)
		if errors.Is(err, core.ErrNotFound) {
			return false, nil
		}
		return true, err
	})
}

// version is the revision date, and the id, since a secret that was deleted and
// created anew is another one. An answer to an update has the date with the
// 100 ns of the server's clock; what a server's database keeps of it may be
// microseconds.
func version(s Secret) core.Version {
	return core.Version(s.RevisionDate.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano) + " " + s.ID)
}

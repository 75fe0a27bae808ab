package bitwarden

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Load implements [core.TokenBackend]. If several secrets have the key's name, the error
// is a [*DuplicateError].
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

// version is the revision date and the id: a secret that was deleted and created again is
// another one. The answer to an update has the date in steps of 100 ns, as the server's
// clock gives it; a server's database may store only microseconds.
func version(s Secret) core.Version {
	return core.Version(s.RevisionDate.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano) + " " + s.ID)
}

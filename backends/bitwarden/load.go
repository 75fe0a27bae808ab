package bitwarden

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// Load implements [core.TokenBackend]. Several secrets of the key's name are a
// [*DuplicateError].
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	if err := origin.Admit(ctx, "load", key); err != nil {
		return core.Record{}, err
	}
	s, err := b.find(ctx, key)
	if err != nil {
		return core.Record{}, origin.Fail("load", key, err)
	}
	data, err := decode(s.Value)
	if err != nil {
		return core.Record{}, origin.Fail("load", key, err)
	}
	return core.Record{Data: data, Version: version(s), Modified: s.RevisionDate}, nil
}

// Check implements [core.TokenBackend].
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	if err := origin.Admit(ctx, "check", key); err != nil {
		return false, err
	}
	_, err := b.find(ctx, key)
	if errors.Is(err, core.ErrNotFound) {
		return false, nil
	}
	return err == nil, origin.Fail("check", key, err)
}

// version is the revision date, and the id, since a secret that was deleted and
// created anew is another one. An answer to an update has the date with the
// 100 ns of the server's clock; what a server's database keeps of it may be
// microseconds.
func version(s Secret) core.Version {
	return core.Version(s.RevisionDate.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano) + " " + s.ID)
}

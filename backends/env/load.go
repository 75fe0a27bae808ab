package env

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Load implements [core.TokenBackend]. A variable that is set and empty is core.ErrCorrupt,
// not core.ErrNotFound: a CI system sets such a variable if its secret is missing, and no
// program should ask for a first sign-in then.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, origin.Op("load", key), func() (core.Record, error) {
		value, version, err := b.current(key)
		switch {
		case err != nil:
			return core.Record{}, err
		case version == core.Absent:
			return core.Record{}, core.ErrNotFound
		}
		data, err := backend.DecodeText(value)
		return core.Record{Data: data, Version: version}, err
	})
}

// Check implements [core.TokenBackend]. A variable that is set and empty counts as a
// record, although Load fails.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, origin.Op("check", key), func() (bool, error) {
		_, version, err := b.current(key)
		return version != core.Absent, err
	})
}

func (b *Backend) current(key string) (value string, version core.Version, err error) {
	b.place.mu.Lock()
	defer b.place.mu.Unlock()
	return b.place.current(b.name(key))
}

package env

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
)

// Load implements [core.TokenBackend]. A variable that is set and empty is
// core.ErrCorrupt, not core.ErrNotFound: a CI system whose secret went missing
// sets such variables, and nobody should take that for a first sign-in.
func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
	if err := origin.Admit(ctx, "load", key); err != nil {
		return core.Record{}, err
	}
	rec, err := b.load(key)
	if err != nil {
		return core.Record{}, origin.Fail("load", key, err)
	}
	return rec, nil
}

func (b *Backend) load(key string) (core.Record, error) {
	value, version, err := b.current(key)
	switch {
	case err != nil:
		return core.Record{}, err
	case version == core.Absent:
		return core.Record{}, core.ErrNotFound
	}
	data, err := decode(value)
	if err != nil {
		return core.Record{}, err
	}
	return core.Record{Data: data, Version: version}, nil
}

func (b *Backend) current(key string) (value string, version core.Version, err error) {
	b.place.mu.Lock()
	defer b.place.mu.Unlock()
	return b.place.current(b.name(key))
}

package env

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
)

// Check implements [core.TokenBackend]. A variable that is set and empty is
// there, though it can't be loaded.
func (b *Backend) Check(ctx context.Context, key string) (bool, error) {
	if err := origin.Admit(ctx, "check", key); err != nil {
		return false, err
	}
	_, version, err := b.current(key)
	if err != nil {
		return false, origin.Fail("check", key, err)
	}
	return version != core.Absent, nil
}

// Delete implements [core.TokenBackend].
func (b *Backend) Delete(ctx context.Context, key string) error {
	if err := origin.Admit(ctx, "delete", key); err != nil {
		return err
	}
	if b.readOnly {
		return origin.Fail("delete", key, core.ErrReadOnly)
	}
	name := b.name(key)
	if err := b.place.remove(name); err != nil {
		return origin.Fail("delete", key, err)
	}
	b.place.leases.Touch(name)
	return nil
}

func (p *place) remove(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unset(name)
}

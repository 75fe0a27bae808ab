package env

import (
	"context"
	"errors"

	"github.com/graphtoken/graphtoken/core"
)

// ShouldRefresh implements [core.TokenBackend]: one of the goroutines of
// this process refreshes, the others wait for it. Other processes that use the
// same dotenv file know nothing of it.
func (b *Backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	if err := admit(ctx, "refresh", key); err != nil {
		return 0, err
	}
	decision, err := core.Coordinate(ctx, b, b, key, req)
	if err != nil {
		return 0, failOnce("refresh", key, err)
	}
	return decision, nil
}

// Wait implements [core.Watcher] for what is saved and deleted by this process.
func (b *Backend) Wait(ctx context.Context, key string, seen core.Version) error {
	if err := admit(ctx, "wait", key); err != nil {
		return err
	}
	err := b.place.leases.Wait(ctx, b.name(key), func() (bool, error) {
		_, version, err := b.current(key)
		return version != seen, err
	})
	if err != nil {
		return fail("wait", key, err)
	}
	return nil
}

// failOnce leaves alone what already says where it comes from.
func failOnce(op, key string, err error) error {
	if known := (*core.Error)(nil); errors.As(err, &known) {
		return err
	}
	return fail(op, key, err)
}

package filesystem

import (
	"context"
	"os"
)

// Ping implements [core.Pinger]. It does what a Save does short of the record:
// makes the directory if it is missing, takes a lock, writes a temporary and
// removes it.
func (b *Backend) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fail("ping", "", err)
	}
	if err := b.ping(ctx); err != nil {
		return fail("ping", "", err)
	}
	return nil
}

func (b *Backend) ping(ctx context.Context) error {
	guard, err := b.lock(ctx, place{b.dir, ""})
	if err != nil {
		return err
	}
	defer guard.unlock()
	if err := writeDurably(guard.temp, []byte("ping")); err != nil {
		return err
	}
	return os.Remove(guard.temp)
}

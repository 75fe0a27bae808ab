package awss3

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// ErrUnconditional is what Ping says of a store that ignores a condition of a
// write, or of a delete: there one process overwrites what another has saved, or
// ends its lease, and nobody learns of it. It is also what Ping says of one that
// keeps versions, and takes a deleted object for one that is there: nobody could
// have a lease a second time.
var ErrUnconditional = errors.New("the store ignores conditions")

// Ping implements [core.Pinger]. It tries every condition that the backend
// relies on, with an object that is no record, and removes that: eight requests, of
// which four write. Ask once when a program starts, and not as a heartbeat. A
// store that is unfit is [ErrUnconditional], with the condition that it
// ignores; one that refuses conditions, or a permission, is the SDK's error.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error { return b.probe(ctx, b.o.Prefix+probes+rand.Text()) })
}

func (b *Backend) probe(ctx context.Context, name string) (err error) {
	const other core.Version = "00000000000000000000000000000000"
	made, at, err := b.put(ctx, name, "", []byte("made"), core.Absent)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// Also when it is ctx that is over.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
			defer cancel()
			_, _ = b.remove(ctx, name, core.AnyVersion)
		}
	}()
	if at.IsZero() {
		return errors.New("the store's answers have no Date, by which leases expire")
	}
	_, _, err = b.put(ctx, name, "", []byte("made again"), core.Absent)
	if err := heeded(err, "PutObject with If-None-Match: * over an object"); err != nil {
		return err
	}
	_, _, err = b.put(ctx, name, "", []byte("overwritten"), other)
	if err := heeded(err, "PutObject with If-Match of another ETag"); err != nil {
		return err
	}
	_, err = b.remove(ctx, name, other)
	if err := heeded(err, "DeleteObject with If-Match of another ETag"); err != nil {
		return err
	}
	if _, err := b.remove(ctx, name, made); err != nil {
		return err
	}
	// Absent, and not forbidden: see Load.
	if _, err = b.get(ctx, name); !errors.Is(err, core.ErrNotFound) {
		if err == nil {
			err = errors.New("the store shows an object that was deleted")
		}
		return err
	}
	made, _, err = b.put(ctx, name, "", []byte("made anew"), core.Absent)
	if errors.Is(err, core.ErrConflict) {
		return fmt.Errorf("%w: PutObject with If-None-Match: * was refused where an object had been deleted", ErrUnconditional)
	}
	if err != nil {
		return err
	}
	_, err = b.remove(ctx, name, made)
	return err
}

const cleanup = 5 * time.Second

// heeded turns the conflict that should have been into none, and none into
// ErrUnconditional.
func heeded(err error, what string) error {
	switch {
	case errors.Is(err, core.ErrConflict):
		return nil
	case err == nil:
		return fmt.Errorf("%w: %s succeeded", ErrUnconditional, what)
	}
	return err
}

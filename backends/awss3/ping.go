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

// ErrUnconditional is the error of Ping for a store that ignores a condition of a write
// or of a delete. In such a store one process can overwrite what another has saved, or
// end its lease, and no error tells either of them. It is also the error for a store with
// versioning that treats a deleted object as existing: there a lease could be taken only
// once.
var ErrUnconditional = errors.New("the store ignores conditions")

// Ping implements [core.Pinger]. It tries every condition that the backend relies on,
// with an object that is no record, and removes that object: eight requests, four of
// which write. Call it once when a program starts, not as a heartbeat. If the store
// ignores a condition, the error is [ErrUnconditional] and names the condition. If the
// store refuses conditions, or denies a permission, the error is the SDK's.
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
			// The object is removed even if ctx is over.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
			defer cancel()
			_, _ = b.remove(ctx, name, core.AnyVersion)
		}
	}()
	if at.IsZero() {
		return errors.New("the store's answers have no Date header, which leases need in order to expire")
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
	// The answer must be "not found", not "forbidden": see Load.
	if _, err = b.get(ctx, name, core.Absent); !errors.Is(err, core.ErrNotFound) {
		if err == nil {
			err = errors.New("the store still returns an object that was deleted")
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

// heeded turns the expected conflict into nil, and a success into ErrUnconditional.
func heeded(err error, what string) error {
	switch {
	case errors.Is(err, core.ErrConflict):
		return nil
	case err == nil:
		return fmt.Errorf("%w: %s succeeded", ErrUnconditional, what)
	}
	return err
}

package filesystem

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Ping implements [core.Pinger]. It does all that a Save does, except writing a record:
// it makes the directory if that doesn't exist, takes a lock, writes a temporary file,
// gives it a name in the directory, and removes it. Then it tries whether the existing
// records could be saved, up to a thousand of them.
//
// It also returns core.ErrUnsafeDirectory if other users can write to the directory or
// own it. No other method refuses such a directory.
func (b *Backend) Ping(ctx context.Context) error {
	return backend.Do(ctx, b.with(origin.StoreOp("ping")), func() error { return b.ping(ctx) })
}

// Probe implements [core.Prober]. It does all that a Save of the key would do, except
// changing the record's content. If it returns nil, Save replaces the record or, if that
// isn't possible, writes it in place.
func (b *Backend) Probe(ctx context.Context, key string) error {
	return backend.Do(ctx, b.with(origin.Op("probe", key)), func() error { return b.probe(ctx, key) })
}

func (b *Backend) probe(ctx context.Context, key string) error {
	at, guard, err := b.lockKey(ctx, key, nil)
	if err != nil {
		return err
	}
	defer guard.unlock()
	return probeAt(at, guard)
}

func probeAt(at place, g *guard) error {
	return atomicfile.Probe(g.record, atomicfile.Replacement{Name: at.name, Temp: at.below(g.temp)})
}

// noRecord names no record: no key has such a name.
const noRecord = "%ping"

// maxProbes limits how many records Ping tries.
const maxProbes = 1000

func (b *Backend) ping(ctx context.Context) error {
	for _, dir := range []string{b.dir, placeIn(b.dir, "").in(helpers)} {
		if err := atomicfile.CheckDirectory(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := b.pingDirectory(ctx); err != nil {
		return err
	}
	if err := b.lookAtCase(); err != nil {
		return err
	}
	return b.pingRecords(ctx)
}

func (b *Backend) pingDirectory(ctx context.Context) error {
	at := placeIn(b.dir, noRecord)
	guard, err := b.lock(ctx, at, nil)
	if err != nil {
		return err
	}
	defer guard.unlock()
	return probeAt(at, guard)
}

func (b *Backend) pingRecords(ctx context.Context) error {
	root, err := os.OpenRoot(b.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	probes := 0
	var probeErr error
	err = b.eachKey(ctx, func(key string) bool {
		probes++
		probeErr = b.pingRecord(ctx, root, key)
		return probeErr == nil && probes < maxProbes
	})
	switch {
	case probeErr != nil:
		return probeErr
	case errors.Is(err, fs.ErrPermission):
		return nil // a directory may be writable and not listable
	}
	return err
}

// pingRecord writes a temporary file only if the record is a link.
func (b *Backend) pingRecord(ctx context.Context, root *os.Root, key string) error {
	at, err := b.place(key)
	switch {
	case err != nil:
	case at.dir != b.dir:
		if err = atomicfile.CheckDirectory(at.dir); err == nil {
			err = b.probe(ctx, key)
		}
	default:
		err = atomicfile.ProbeFile(root, at.name)
	}
	return origin.Fail("probe", key, atomicfile.ReadOnly(err))
}

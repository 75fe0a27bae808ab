package env

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
)

// Ping implements [core.Pinger]. The variables of the process are always
// there. A dotenv file must be readable, and, unless the Backend is ReadOnly, must
// let itself be replaced, or written in place, or made. A directory that other users
// can write to, or own, is core.ErrUnsafeDirectory.
func (b *Backend) Ping(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return origin.Fail("ping", "", err)
	}
	return origin.Fail("ping", "", b.place.tried(func() error { return b.place.ping(b.readOnly) }))
}

// Probe implements [core.Prober]. It tries the edit of a dotenv file, and whether the
// file could be written; ReadOnly is core.ErrReadOnly.
func (b *Backend) Probe(ctx context.Context, key string) error {
	if err := origin.Admit(ctx, "probe", key); err != nil {
		return err
	}
	if b.readOnly {
		return origin.Fail("probe", key, core.ErrReadOnly)
	}
	return origin.Fail("probe", key, b.place.tried(func() error { return b.place.probe(b.name(key)) }))
}

// tried does what nobody in this process may save beside.
func (p *place) tried(try func() error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return try()
}

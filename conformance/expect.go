package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// key is the record of most cases: python-o365's own name for it, which every store can
// hold.
const key = "o365_token.txt"

// text is a small record; n tells it from others.
func text(n int) []byte {
	return fmt.Appendf(nil, `{"AccessToken":{},"RefreshToken":{},"n":"record %d"}`, n)
}

// holding is the ttl of a lease that lasts longer than any case.
const holding = time.Minute

// soon returns a context for operations that should end promptly.
func (c *trial) soon() context.Context {
	ctx, cancel := context.WithTimeout(c.ctx, c.patience)
	c.later(cancel)
	return ctx
}

// Steps of the case itself: if one fails, the case ends.

func (c *trial) save(b core.TokenBackend, key string, data []byte) core.Version {
	return c.replace(b, key, data, core.AnyVersion)
}

func (c *trial) replace(b core.TokenBackend, key string, data []byte, v core.Version) core.Version {
	got, err := b.Save(c.ctx, key, core.Record{Data: data, Version: v})
	if err != nil {
		c.Fatalf("Save(%q, %s) with version %s: %v", key, brief(data), show(v), err)
	}
	return got
}

func (c *trial) load(b core.TokenBackend, key string) core.Record {
	rec, err := b.Load(c.ctx, key)
	if err != nil {
		c.Fatalf("Load(%q): %v", key, err)
	}
	return rec
}

func (c *trial) delete(b core.TokenBackend, key string) {
	if err := b.Delete(c.ctx, key); err != nil {
		c.Fatalf("Delete(%q): %v", key, err)
	}
}

// leaser is b's Leaser.
func (c *trial) leaser(b core.TokenBackend) core.Leaser {
	l, ok := core.As[core.Leaser](b)
	if !ok {
		c.Fatalf("%T is no core.Leaser", b)
	}
	return l
}

func (c *trial) acquire(b core.TokenBackend, key string, ttl time.Duration) core.Lease {
	lease, err := c.leaser(b).Acquire(c.ctx, key, ttl)
	if err != nil {
		c.Fatalf("Acquire(%q, %v): %v", key, ttl, err)
	}
	return c.held(lease)
}

// held releases the lease when the case is over, if it is still held.
func (c *trial) held(lease core.Lease) core.Lease {
	if lease == nil {
		c.Fatalf("Acquire returned no lease and no error")
	}
	c.later(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.patience)
		defer cancel()
		_ = lease.Release(ctx)
	})
	return lease
}

// takeOver acquires a lease as soon as its holder has lost it.
func (c *trial) takeOver(b core.TokenBackend, key string, ttl time.Duration) core.Lease {
	var lease core.Lease
	c.eventually(func() error {
		var err error
		lease, err = c.leaser(b).Acquire(c.ctx, key, ttl)
		return err
	}, "Acquire(%q) after the lease's ttl", key)
	return c.held(lease)
}

// letExpire makes leases of that ttl expire if the clock can be moved; otherwise they
// expire by themselves.
func (c *trial) letExpire(ttl time.Duration) {
	if c.advance != nil {
		c.advance(ttl + time.Second)
	}
}

// outlast returns when every earlier lease of that ttl has expired by the store's own
// clock: when a lease that is taken now has.
func (c *trial) outlast(b core.TokenBackend, ttl time.Duration) {
	const control = "control"
	c.acquire(b, control, ttl)
	c.letExpire(ttl)
	lease := c.takeOver(b, control, ttl)
	if err := lease.Release(c.ctx); err != nil && !errors.Is(err, core.ErrLeaseLost) {
		c.Fatalf("Release: %v", err)
	}
}

// eventually calls f until it succeeds, and ends the case if that takes longer than the
// case's patience.
func (c *trial) eventually(f func() error, format string, args ...any) {
	deadline := time.Now().Add(c.patience)
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := f()
		if err == nil {
			return
		}
		if c.ctx.Err() != nil || time.Now().After(deadline) {
			c.Fatalf("%s: still %v after %v", fmt.Sprintf(format, args...), err, c.patience)
		}
		time.Sleep(pause)
	}
}

// Expectations: if one doesn't hold, that is reported and the case goes on.

// wantRecord expects exactly these data, and that Check finds them.
func (c *trial) wantRecord(b core.TokenBackend, key string, data []byte) {
	switch rec, err := b.Load(c.ctx, key); {
	case err != nil:
		c.Errorf("Load(%q) = %v, want %s", key, err, brief(data))
	case !bytes.Equal(rec.Data, data):
		c.Errorf("Load(%q) = %s, want %s%s", key, brief(rec.Data), brief(data), difference(rec.Data, data))
	}
	if ok, err := b.Check(c.ctx, key); err != nil || !ok {
		c.Errorf("Check(%q) = %v, %v; want true", key, ok, err)
	}
}

// wantNone expects that nothing is stored.
func (c *trial) wantNone(b core.TokenBackend, key string) {
	rec, err := b.Load(c.ctx, key)
	if err == nil {
		c.Errorf("Load(%q) = %s, want ErrNotFound", key, brief(rec.Data))
	} else {
		c.wantErr(err, core.ErrNotFound, "Load(%q)", key)
	}
	if ok, err := b.Check(c.ctx, key); err != nil || ok {
		c.Errorf("Check(%q) = %v, %v; want false", key, ok, err)
	}
}

// wantErr expects the error of a call, which format and args describe.
func (c *trial) wantErr(err, want error, format string, args ...any) {
	if !errors.Is(err, want) {
		c.Errorf("%s = %v, want %s", fmt.Sprintf(format, args...), err, errName(want))
	}
}

// wantHeld expects that Acquire fails, because the lease is held.
func (c *trial) wantHeld(b core.TokenBackend, key string) {
	lease, err := c.leaser(b).Acquire(c.soon(), key, holding)
	if err == nil {
		c.held(lease)
	}
	c.wantErr(err, core.ErrLeaseHeld, "Acquire(%q) while the lease is held", key)
}

// wantFree expects that the lease can be acquired at once, and leaves it free.
func (c *trial) wantFree(b core.TokenBackend, key string) {
	lease, err := c.leaser(b).Acquire(c.soon(), key, holding)
	if err != nil {
		c.Errorf("Acquire(%q) of a free lease: %v", key, err)
		return
	}
	if err := c.held(lease).Release(c.soon()); err != nil {
		c.Errorf("Release of a lease just acquired: %v", err)
	}
}

// Words for messages.

var errNames = map[error]string{
	core.ErrNotFound:         "core.ErrNotFound",
	core.ErrConflict:         "core.ErrConflict",
	core.ErrLeaseHeld:        "core.ErrLeaseHeld",
	core.ErrLeaseLost:        "core.ErrLeaseLost",
	core.ErrTooLarge:         "core.ErrTooLarge",
	core.ErrDecrypt:          "core.ErrDecrypt",
	core.ErrInvalidKey:       "core.ErrInvalidKey",
	core.ErrReadOnly:         "core.ErrReadOnly",
	core.ErrReauthRequired:   "core.ErrReauthRequired",
	core.ErrCorrupt:          "core.ErrCorrupt",
	core.ErrLegacyToken:      "core.ErrLegacyToken",
	core.ErrNotNeeded:        "core.ErrNotNeeded",
	context.Canceled:         "context.Canceled",
	context.DeadlineExceeded: "context.DeadlineExceeded",
}

func errName(err error) string {
	if name, ok := errNames[err]; ok {
		return name
	}
	return fmt.Sprintf("%q", err)
}

func show(v core.Version) string {
	switch v {
	case core.AnyVersion:
		return "AnyVersion"
	case core.Absent:
		return "Absent"
	}
	return fmt.Sprintf("%q", string(v))
}

func brief(data []byte) string {
	const most = 60
	if len(data) <= most {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%d bytes that begin with %q", len(data), data[:most])
}

// difference tells where two long values begin to differ.
func difference(got, want []byte) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf(" (they part at byte %d)", i)
		}
	}
	return fmt.Sprintf(" (%d bytes instead of %d)", len(got), len(want))
}

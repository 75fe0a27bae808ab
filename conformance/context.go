package conformance

import (
	"context"
	"errors"
	"io"
	"reflect"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func contexts() []testCase {
	return []testCase{
		{"cancelled", must("A method whose context is cancelled before it begins answers the context's error and has no effect."), 0,
			func(c *trial) {
				ctx, cancel := context.WithCancel(c.ctx)
				cancel()
				c.wantNoEffect(ctx, context.Canceled)
			}},
		{"expired", must("A method whose deadline has passed before it begins answers the context's error and has no effect."), 0,
			func(c *trial) {
				ctx, cancel := context.WithDeadline(c.ctx, time.Now().Add(-time.Second))
				defer cancel()
				c.wantNoEffect(ctx, context.DeadlineExceeded)
			}},
		{"past", must("A handle depends on no earlier call's context: when that has ended, the handle goes on working."), 0,
			func(c *trial) {
				for _, first := range []func(ctx context.Context, b core.TokenBackend){
					func(ctx context.Context, b core.TokenBackend) { _, _ = b.Load(ctx, key) },
					func(ctx context.Context, b core.TokenBackend) {
						_, _ = b.Save(ctx, key, core.Record{Data: text(0), Version: core.AnyVersion})
					},
					func(ctx context.Context, b core.TokenBackend) { _, _ = b.Check(ctx, key) },
					func(ctx context.Context, b core.TokenBackend) { _ = b.Delete(ctx, key) },
					func(ctx context.Context, b core.TokenBackend) {
						_, _ = b.ShouldRefresh(ctx, key, core.RefreshRequest{Seen: core.AnyVersion})
					},
				} {
					a := c.open()
					ctx, cancel := context.WithCancel(c.ctx)
					first(ctx, a)
					cancel()
					c.save(a, key, text(1))
					c.wantRecord(a, key, text(1))
					c.delete(a, key)
					c.wantNone(a, key)
				}
			}},
		{"cancelled-acquire", must("Acquire with a cancelled context answers its error, and leaves no lease behind that nobody has."), lease,
			func(c *trial) {
				a, b := c.pair()
				ctx, cancel := context.WithCancel(c.ctx)
				cancel()
				lease, err := c.leaser(a).Acquire(ctx, key, holding)
				c.wantErr(err, context.Canceled, "Acquire")
				if err == nil {
					if err := c.held(lease).Release(c.ctx); err != nil {
						c.Errorf("Release: %v", err)
					}
				}
				c.wantFree(b, key)
			}},
		{"waiting", must("ShouldRefresh that waits for another's refresh returns when its deadline passes, without having run Refresh."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				stop := c.refreshing(a, key, v)
				ctx, cancel := context.WithTimeout(c.ctx, 100*time.Millisecond)
				defer cancel()
				begun := time.Now()
				d, err := b.ShouldRefresh(ctx, key, core.RefreshRequest{Seen: v, LeaseTTL: holding, Refresh: func(context.Context, core.Record) error {
					c.Errorf("a second Refresh runs beside the first")
					return errors.New("not needed here")
				}})
				if err == nil {
					c.Errorf("ShouldRefresh = %v, nil though nobody had refreshed when its deadline passed", d)
				}
				if took := time.Since(begun); took > c.patience {
					c.Errorf("ShouldRefresh returned %v after its deadline", took)
				}
				stop()
			}},
		{"goroutines", must("Operations that have returned leave no goroutines behind."), 0,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(0))
				const times = 10
				some := func() {
					for i := range times {
						ctx, cancel := context.WithTimeout(c.ctx, c.patience)
						_, _ = b.Load(ctx, key)
						_, _ = b.Check(ctx, "absent")
						v = c.save(a, key, text(i))
						_, _ = b.ShouldRefresh(ctx, key, core.RefreshRequest{Seen: v, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
							return saveNext(ctx, b, current, text(-i))
						}})
						if w, ok := core.As[core.Watcher](a); ok {
							_ = w.Wait(ctx, key, core.Absent)
						}
						if l, ok := core.As[core.Lister](a); ok {
							for range l.Keys(ctx) {
								break
							}
						}
						c.delete(a, key)
						cancel()
					}
				}
				// A client may keep some for its connections: these come with
				// the first operations, and their number doesn't grow.
				some()
				before := countGoroutines(c.label)
				some()
				var more int
				deadline := time.Now().Add(c.patience)
				for {
					if more = countGoroutines(c.label) - before; more < times {
						return
					}
					if time.Now().After(deadline) {
						break
					}
					time.Sleep(10 * time.Millisecond)
				}
				c.Errorf("%d more goroutines after %d rounds of operations:\n%s", more, times, goroutines(c.label))
			}},
		{"closed", must("A handle that was closed answers, with an error or not, but doesn't panic, and its other handles go on working."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.save(a, key, text(1))
				closer, ok := core.As[io.Closer](a)
				if !ok {
					c.Logf("not tried: %T is no io.Closer", a)
					return
				}
				other, _ := core.As[io.Closer](b)
				if err := closer.Close(); err != nil {
					c.Errorf("Close: %v", err)
				}
				_ = closer.Close()
				if rec, err := a.Load(c.soon(), key); err == nil && string(rec.Data) != string(text(1)) {
					c.Errorf("Load after Close = %s, want an error or the record", brief(rec.Data))
				} else if errors.Is(err, core.ErrNotFound) {
					c.Errorf("Load after Close = %v: absent is something else", err)
				}
				if ok, err := a.Check(c.soon(), key); err == nil && !ok {
					c.Errorf("Check after Close = false, want an error or true")
				}
				_, _ = a.Save(c.soon(), "other", core.Record{Data: text(2), Version: core.AnyVersion})
				_ = a.Delete(c.soon(), "other")
				_, _ = a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: core.AnyVersion})
				if !same(closer, other) {
					c.wantRecord(b, key, text(1))
					c.save(b, key, text(3))
					c.wantRecord(b, key, text(3))
				}
			}},
	}
}

// wantNoEffect tries every method with a context that is done.
func (c *trial) wantNoEffect(done context.Context, want error) {
	a, b := c.pair()
	c.save(a, key, text(1))
	_, err := a.Load(done, key)
	c.wantErr(err, want, "Load")
	_, err = a.Load(done, "absent")
	c.wantErr(err, want, "Load of an absent key")
	_, err = a.Check(done, key)
	c.wantErr(err, want, "Check")
	_, err = a.Check(done, "absent")
	c.wantErr(err, want, "Check of an absent key")
	_, err = a.Save(done, key, core.Record{Data: text(2), Version: core.AnyVersion})
	c.wantErr(err, want, "Save")
	_, err = a.Save(done, "new", core.Record{Data: text(2), Version: c.absent()})
	c.wantErr(err, want, "Save of a new key")
	c.wantErr(a.Delete(done, key), want, "Delete")
	for _, refresh := range []func(context.Context, core.Record) error{nil, func(context.Context, core.Record) error {
		c.Errorf("Refresh runs")
		return errors.New("not in this case")
	}} {
		_, err = a.ShouldRefresh(done, key, core.RefreshRequest{Seen: core.AnyVersion, Refresh: refresh})
		c.wantErr(err, want, "ShouldRefresh")
	}
	for _, handle := range []core.TokenBackend{a, b} {
		c.wantRecord(handle, key, text(1))
		c.wantNone(handle, "new")
	}
	if c.want.Lease {
		c.wantFree(b, key)
	}
}

// same says whether two handles are one object, as far as can be known.
func same(a, b any) bool {
	return a != nil && b != nil && reflect.TypeOf(a) == reflect.TypeOf(b) && (!reflect.TypeOf(a).Comparable() || a == b)
}

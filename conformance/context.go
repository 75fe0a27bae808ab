package conformance

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func contexts() []testCase {
	return []testCase{
		{"cancelled", must("A method whose context is cancelled before it begins returns the context's error and has no effect."), 0,
			func(c *trial) {
				ctx, cancel := context.WithCancel(c.ctx)
				cancel()
				c.wantNoEffect(ctx, context.Canceled)
			}},
		{"expired", must("A method whose deadline has passed before it begins returns the context's error and has no effect."), 0,
			func(c *trial) {
				ctx, cancel := context.WithDeadline(c.ctx, time.Now().Add(-time.Second))
				defer cancel()
				c.wantNoEffect(ctx, context.DeadlineExceeded)
			}},
		{"past", must("A handle works on after the context of an earlier call has ended."), 0,
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
		{"cancelled-acquire", must("Acquire with a cancelled context returns its error, and the lease stays free."), lease,
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
		{"abandoned-acquire", must("An Acquire whose context ends while the store grants the lease returns the lease, or the lease is free soon: no process has to wait for the ttl of a lease that has no holder."), lease,
			func(c *trial) {
				a, b := c.pair()
				ttl := max(holding, 4*c.patience)
				c.abandon(func(ctx context.Context) {
					lease, err := c.leaser(a).Acquire(ctx, key, ttl)
					if err == nil {
						c.release(c.held(lease))
					}
					var next core.Lease
					c.eventually(func() error {
						next, err = c.leaser(b).Acquire(c.ctx, key, holding)
						return err
					}, "Acquire(%q) after one whose context ended in the middle = %v", key, err)
					c.release(c.held(next))
				})
			}},
		{"abandoned-refresh", must("After a ShouldRefresh whose context ends before Refresh runs the lease is free: the next refresh runs soon."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				ttl := max(holding, 4*c.patience)
				c.save(a, key, text(1))
				c.abandon(func(ctx context.Context) {
					_, _ = a.ShouldRefresh(ctx, key, core.RefreshRequest{Seen: core.AnyVersion, LeaseTTL: ttl, Refresh: func(context.Context, core.Record) error { return core.ErrNotNeeded }})
					runs := 0
					_, err := b.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: core.AnyVersion, LeaseTTL: holding, Refresh: func(context.Context, core.Record) error {
						runs++
						return core.ErrNotNeeded
					}})
					if err != nil || runs != 1 {
						c.Errorf("ShouldRefresh after one whose context ended in the middle = %v, and ran Refresh %d times", err, runs)
					}
				})
			}},
		{"waiting", must("A ShouldRefresh that waits for another's refresh returns when its deadline passes, without a call of Refresh."), coordinates,
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
		{"goroutines", must("When an operation has returned, none of its goroutines is left."), 0,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(0))
				c.wantNoneLeft(func(i int) {
					ctx, cancel := context.WithTimeout(c.ctx, c.patience)
					defer cancel()
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
				})
			}},
		{"goroutines-refused", must("When an operation was refused, none of its goroutines is left either: after ErrLeaseHeld, ErrLeaseLost, ErrConflict, ErrNotFound, ErrInvalidKey, and a wait that was given up."), 0,
			func(c *trial) {
				a, b := c.pair()
				old := c.save(a, key, text(0))
				v := c.save(a, key, text(1))
				var lost core.Lease
				if c.want.Lease {
					lost = c.acquire(a, "other", holding)
					c.release(lost)
					c.acquire(a, key, holding)
				}
				c.wantNoneLeft(func(int) {
					_, _ = b.Load(c.ctx, "absent")
					_, _ = b.Load(c.ctx, "no\x00key")
					_, _ = b.Save(c.ctx, key, core.Record{Data: text(2), Version: old})
					_, _ = b.Save(c.ctx, key, core.Record{Version: v})
					if c.want.Lease {
						c.wantHeld(a, key)
						c.wantHeld(b, key)
						_ = lost.Renew(c.ctx, holding)
						_ = lost.Release(c.ctx)
					}
					if w, ok := core.As[core.Watcher](b); ok {
						ctx, cancel := context.WithTimeout(c.ctx, time.Millisecond)
						defer cancel()
						_ = w.Wait(ctx, key, c.load(b, key).Version)
					}
				})
			}},
		{"closed", must("A handle that was closed returns, with an error or without, but doesn't panic, and other handles still work."), 0,
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

// wantNoneLeft runs some operations again and again, and expects that none of their
// goroutines remains.
func (c *trial) wantNoneLeft(some func(i int)) {
	// A client may keep some goroutines for its connections: these start with the first
	// operations, and their number doesn't grow.
	const times = 10
	for i := range times {
		some(i)
	}
	before := countGoroutines(c.label)
	for i := range times {
		some(i)
	}
	deadline := time.Now().Add(c.patience)
	for {
		more := countGoroutines(c.label) - before
		if more < times {
			return
		}
		if time.Now().After(deadline) {
			c.Errorf("%d more goroutines after %d rounds of operations:\n%s", more, times, goroutines(c.label))
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// abandon calls f a few times with a context that ends in the middle: right after f asked
// whether it has ended, or some time after f began.
func (c *trial) abandon(f func(ctx context.Context)) {
	begun, undisturbed := time.Now(), &ending{Context: c.ctx}
	f(undisturbed)
	took, questions := time.Since(begun), undisturbed.asked.Load()
	c.often(12, 60, func(i int) {
		ctx, cancel := context.WithCancel(c.ctx)
		defer cancel()
		if i%2 == 0 {
			// The first ones in turn, since most backends ask but once or twice.
			at := int64(i/2 + 1)
			if questions > 6 && i >= 6 {
				at = 1 + rand.N(questions)
			}
			f(&ending{Context: ctx, at: at, end: cancel})
			return
		}
		timer := time.AfterFunc(rand.N(took+1), cancel)
		defer timer.Stop()
		f(ctx)
	})
}

// ending is a context that ends right after the at-th call of Err or Done: between two
// steps of its caller.
type ending struct {
	context.Context
	at    int64
	end   context.CancelFunc
	asked atomic.Int64
}

func (e *ending) Err() error {
	err := e.Context.Err()
	if e.asked.Add(1) == e.at {
		e.end()
	}
	return err
}

func (e *ending) Done() <-chan struct{} {
	if e.asked.Add(1) == e.at {
		go e.end() // not before the asker has gone on
	}
	return e.Context.Done()
}

// wantNoEffect calls every method with a context that is done.
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

// same reports whether two handles are one object, as far as that can be known.
func same(a, b any) bool {
	return a != nil && b != nil && reflect.TypeOf(a) == reflect.TypeOf(b) && (!reflect.TypeOf(a).Comparable() || a == b)
}

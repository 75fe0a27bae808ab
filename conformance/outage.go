package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func outage() []testCase {
	return []testCase{
		{"error", must("While the store can't be reached, every method returns an error that says so: never absent, never a conflict, never success."), fails,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				for _, handle := range []core.TokenBackend{a, b} {
					c.wantRecord(handle, key, text(1)) // the backend may remember this
					c.wantNone(handle, "absent")
				}
				c.fail(-1)
				for _, handle := range []core.TokenBackend{a, b} {
					for _, k := range []string{key, "absent"} {
						_, err := handle.Load(c.soon(), k)
						c.wantOutage(err, "Load(%q)", k)
						_, err = handle.Check(c.soon(), k)
						c.wantOutage(err, "Check(%q)", k)
						c.wantOutage(handle.Delete(c.soon(), k), "Delete(%q)", k)
					}
					for _, v := range []core.Version{core.AnyVersion, v, core.Absent} {
						_, err := handle.Save(c.soon(), key, core.Record{Data: text(2), Version: v})
						c.wantOutage(err, "Save with version %s", show(v))
					}
				}
				c.fail(0)
			}},
		{"recovery", must("When the outage is over, the handles work again without being opened anew, and everything is as it was before."), fails,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				c.load(b, key)
				c.fail(-1)
				_, _ = a.Load(c.soon(), key)
				_, _ = b.Check(c.soon(), key)
				_, _ = b.Save(c.soon(), key, core.Record{Data: text(2), Version: core.AnyVersion})
				_, _ = a.Save(c.soon(), "new", core.Record{Data: text(2), Version: core.AnyVersion})
				_ = a.Delete(c.soon(), key)
				c.fail(0)
				for _, handle := range []core.TokenBackend{a, b, c.open()} {
					c.wantUntouched(handle, v, text(1))
					c.wantNone(handle, "new")
				}
				c.save(a, key, text(3))
				c.wantRecord(b, key, text(3))
			}},
		{"blip", must("If a single operation of the store fails, the method fails or tries again; it never returns a wrong answer."), fails,
			func(c *trial) {
				a, b := c.pair()
				c.save(a, key, text(1))
				for n := 1; n <= 3; n++ {
					// n operations fail, and a method may need several.
					c.fail(n)
					if rec, err := a.Load(c.soon(), key); err == nil && string(rec.Data) != string(text(1)) {
						c.Errorf("Load = %s, want an error or the record", brief(rec.Data))
					} else if err != nil {
						c.wantOutage(err, "Load")
					}
					c.fail(n)
					if ok, err := a.Check(c.soon(), key); err == nil && !ok {
						c.Errorf("Check = false, want an error or true")
					}
					c.fail(n)
					if _, err := a.Load(c.soon(), "absent"); err == nil {
						c.Errorf("Load of an absent record = nil")
					}
					c.fail(n)
					if ok, err := a.Check(c.soon(), "absent"); err == nil && ok {
						c.Errorf("Check of an absent record = true")
					}
					c.fail(n)
					err := a.Delete(c.soon(), "absent")
					if err != nil {
						c.wantOutage(err, "Delete")
					}
					c.fail(n)
					_, err = a.Save(c.soon(), "new", core.Record{Data: text(2), Version: c.absent()})
					c.fail(0)
					if err != nil {
						c.wantOutage(err, "Save")
					}
					// The error may come after the effect: a notification or a cleanup
					// failed.
					if rec, absent := b.Load(c.ctx, "new"); err == nil || !errors.Is(absent, core.ErrNotFound) {
						if string(rec.Data) != string(text(2)) {
							c.Errorf("Save = %v, and then Load = %s, %v", err, brief(rec.Data), absent)
						}
						c.delete(b, "new")
					}
					c.wantRecord(b, key, text(1))
				}
			}},
		{"refresh", must("While the store can't be reached, ShouldRefresh returns an error and doesn't call Refresh, whose tokens couldn't be saved. Afterwards it calls Refresh."), fails | coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				c.fail(-1)
				for _, handle := range []core.TokenBackend{a, b} {
					for _, run := range []func(context.Context, core.Record) error{c.mustNotRun(), nil} {
						_, err := handle.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: run})
						c.wantOutage(err, "ShouldRefresh")
					}
				}
				c.fail(0)
				c.wantRefresh(b, seen, text(2))
				c.wantFreed(a)
			}},
		{"refresh-unsaved", must("After an outage in the middle of a refresh, which is over before the refresh ends, the old record is there and the lease is free."), fails | coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				_, err := a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
					c.fail(-1)
					defer c.fail(0)
					ctx, cancel := context.WithTimeout(ctx, c.patience)
					defer cancel()
					return saveNext(ctx, a, current, text(2))
				}})
				c.wantOutage(err, "ShouldRefresh whose Refresh couldn't save")
				c.wantUntouched(b, seen, text(1))
				c.wantRefresh(b, seen, text(3))
				c.wantFreed(a)
			}},
		{"lease", must("During an outage no method returns ErrLeaseHeld or ErrLeaseLost, and Renew and Release return no success; a lease that was held before is held afterwards."), fails | lease,
			func(c *trial) {
				a, b := c.pair()
				held, released := c.acquire(a, key, holding), c.acquire(a, "released", holding)
				c.fail(-1)
				// The leases may be kept elsewhere, without an outage.
				lease, err := c.leaser(b).Acquire(c.soon(), "other", holding)
				elsewhere := err == nil
				if elsewhere {
					c.held(lease)
				} else {
					c.wantOutage(err, "Acquire")
				}
				if err := held.Renew(c.soon(), holding); err != nil || !elsewhere {
					c.wantOutage(err, "Renew")
				}
				if err := released.Release(c.soon()); err != nil || !elsewhere {
					c.wantOutage(err, "Release")
				}
				c.fail(0)
				if err := held.Renew(c.ctx, holding); err != nil {
					c.Errorf("Renew after the outage: %v", err)
				}
				c.wantHeld(b, key)
				if err := held.Release(c.ctx); err != nil {
					c.Errorf("Release after the outage: %v", err)
				}
				c.wantFree(b, key)
			}},
		{"wait", must("An outage wakes no waiter: Wait returns nil only for a changed record or a free lease."), fails | watches | lease,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				c.acquire(a, key, holding)
				c.fail(-1)
				ctx, cancel := context.WithTimeout(c.ctx, 100*time.Millisecond)
				defer cancel()
				if err := c.watcher(b).Wait(ctx, key, v); err == nil {
					c.Errorf("Wait = nil while the store can't be reached")
				}
				c.fail(0)
				// Waiters that began before the outage are not woken either.
				waiting := []<-chan error{c.waiting(a, v), c.waiting(b, v)}
				c.wantAsleep(waiting)
				c.fail(-1)
				time.Sleep(100 * time.Millisecond)
				c.fail(0)
				for _, w := range waiting {
					select {
					case err := <-w:
						if err == nil {
							c.Errorf("Wait = nil when the store can't be reached any more")
						}
					default:
					}
				}
			}},
		{"list", must("While the store can't be reached, Keys ends with an error, and is never just empty."), fails | lists,
			func(c *trial) {
				a := c.open()
				c.save(a, key, text(1))
				c.fail(-1)
				var last error
				for _, err := range c.lister(a).Keys(c.soon()) {
					last = err
				}
				c.wantOutage(last, "Keys")
				c.fail(0)
				c.wantKeys(a, key)
			}},
		{"ping", must("While the store can't be reached, Ping returns an error, and afterwards none."), fails | pings,
			func(c *trial) {
				p, ok := core.As[core.Pinger](c.open())
				if !ok {
					c.Fatalf("the backend is no core.Pinger")
				}
				c.fail(-1)
				c.wantOutage(p.Ping(c.soon()), "Ping")
				c.fail(0)
				if err := p.Ping(c.soon()); err != nil {
					c.Errorf("Ping after the outage: %v", err)
				}
			}},
		{"corrupt", must("A damaged record is neither absent nor a valid record: Load returns ErrCorrupt or the bytes that are left, Check doesn't return false, and Save and Delete repair it."), corrupts,
			func(c *trial) { c.wantDamageNamed(text) }},
	}
}

// wantDamageNamed damages records, and expects that they are neither absent nor valid
// records, and can be repaired.
func (c *trial) wantDamageNamed(record func(n int) []byte) {
	a, b := c.pair()
	for round, mend := range []func(){
		func() { c.save(b, key, record(2)); c.wantRecord(a, key, record(2)) },
		func() { c.delete(b, key); c.wantNone(a, key) },
	} {
		c.save(a, key, record(1))
		c.save(a, "other", text(9))
		c.corrupt(key)
		for _, handle := range []core.TokenBackend{a, b} {
			switch rec, err := handle.Load(c.ctx, key); {
			case err != nil:
				c.wantErr(err, core.ErrCorrupt, "Load of a damaged record")
			case len(rec.Data) == 0:
				c.Errorf("Load of a damaged record returns no data and no error, want ErrCorrupt")
			case string(rec.Data) == string(record(1)):
				c.Errorf("Load of a damaged record returns it as it was: it is not what is stored")
			}
			if ok, err := handle.Check(c.ctx, key); !ok && err == nil {
				c.Errorf("Check of a damaged record = false, want true or an error")
			}
			c.wantRecord(handle, "other", text(9))
		}
		if c.want.CAS > CASNone {
			if _, err := a.Save(c.ctx, key, core.Record{Data: record(3), Version: core.Absent}); err == nil {
				c.Errorf("round %d: Save with Absent overwrites a damaged record", round)
			}
		}
		mend()
	}
}

// wantOutage expects an error that has no other meaning.
func (c *trial) wantOutage(err error, format string, args ...any) {
	if err == nil {
		c.Errorf(format+" = nil while the store can't be reached, want an error", args...)
		return
	}
	for other, name := range errNames {
		if errors.Is(err, other) && other != context.DeadlineExceeded {
			c.Errorf(format+" while the store can't be reached = %v, which is %s", append(args, err, name)...)
		}
	}
}

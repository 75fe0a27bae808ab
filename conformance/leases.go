package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// In these cases a and b are two handles. A lease that is let expire is not renewed, as
// if its holder were frozen or dead.
func leases() []testCase {
	return []testCase{
		{"exclusive", must("While a lease is held, Acquire of its key returns ErrLeaseHeld at once, through the same handle and any other."), lease,
			func(c *trial) {
				a, b := c.pair()
				c.acquire(a, key, holding)
				c.wantHeld(b, key)
				c.wantHeld(a, key)
				c.wantHeld(c.open(), key)
				c.acquire(b, "other", holding)
				c.wantHeld(a, "other")
			}},
		{"one-winner", must("When many call Acquire at the same time, one gets the lease and the others get ErrLeaseHeld."), lease,
			func(c *trial) {
				a, b := c.pair()
				c.rounds(func(int) {
					var winners atomic.Int32
					got := make([]core.Lease, 8)
					c.together(len(got), func(i int) {
						lease, err := c.leaser([]core.TokenBackend{a, b}[i%2]).Acquire(c.ctx, key, holding)
						if err == nil {
							winners.Add(1)
							got[i] = c.held(lease)
							return
						}
						c.wantErr(err, core.ErrLeaseHeld, "Acquire beside others")
					})
					if n := winners.Load(); n != 1 {
						c.Errorf("%d of %d got the lease", n, len(got))
					}
					for _, lease := range got {
						if lease != nil {
							if err := lease.Release(c.ctx); err != nil {
								c.Errorf("Release: %v", err)
							}
						}
					}
				})
			}},
		{"release", must("A released lease is free at once, for every handle."), lease,
			func(c *trial) {
				a, b := c.pair()
				for range 3 {
					lease := c.acquire(a, key, holding)
					if err := lease.Release(c.ctx); err != nil {
						c.Errorf("Release of a held lease: %v", err)
					}
					c.wantFree(b, key)
					c.wantFree(a, key)
					a, b = b, a
				}
			}},
		{"released", must("A released lease can't be renewed or released again: both return ErrLeaseLost, and a successor's lease stays."), lease,
			func(c *trial) {
				a, b := c.pair()
				old := c.acquire(a, key, holding)
				if err := old.Release(c.ctx); err != nil {
					c.Errorf("Release of a held lease: %v", err)
				}
				c.wantErr(old.Release(c.ctx), core.ErrLeaseLost, "Release of a released lease")
				c.wantErr(old.Renew(c.ctx, holding), core.ErrLeaseLost, "Renew of a released lease")
				c.wantFree(b, key)
				for _, handle := range []core.TokenBackend{b, a} {
					successor := c.acquire(handle, key, holding)
					c.wantPowerless(old, b, successor)
					if err := successor.Release(c.ctx); err != nil {
						c.Errorf("Release of the successor's lease: %v", err)
					}
				}
			}},
		{"renew", must("Renew of a held lease succeeds, however often it is called, and the lease stays exclusive."), lease,
			func(c *trial) {
				a, b := c.pair()
				lease := c.acquire(a, key, holding)
				for range 3 {
					if err := lease.Renew(c.ctx, holding); err != nil {
						c.Errorf("Renew of a held lease: %v", err)
					}
					c.wantHeld(b, key)
				}
				if err := lease.Release(c.ctx); err != nil {
					c.Errorf("Release of a renewed lease: %v", err)
				}
				c.wantFree(b, key)
			}},
		{"no-record", must("A lease is no record: it creates none, and changes neither data nor version of one."), lease,
			func(c *trial) {
				a, b := c.pair()
				unsaved := c.acquire(a, "unsaved", holding)
				c.wantNone(a, "unsaved")
				c.wantNone(b, "unsaved")
				if err := unsaved.Release(c.ctx); err != nil {
					c.Errorf("Release: %v", err)
				}
				c.wantNone(b, "unsaved")
				v := c.save(a, key, text(1))
				unchanged := func(after string) {
					c.wantRecord(b, key, text(1))
					if now := c.load(b, key).Version; now != v {
						c.Errorf("after %s the version is %s, and was %s", after, show(now), show(v))
					}
				}
				lease := c.acquire(a, key, holding)
				unchanged("Acquire")
				if err := lease.Renew(c.ctx, holding); err != nil {
					c.Errorf("Renew: %v", err)
				}
				unchanged("Renew")
				if err := lease.Release(c.ctx); err != nil {
					c.Errorf("Release: %v", err)
				}
				unchanged("Release")
			}},
		{"no-lock", must("A lease is no lock: while it is held, everybody can load, save and delete the record, and the lease stays."), lease,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				lease := c.acquire(a, key, holding)
				if got, err := b.Save(c.soon(), key, core.Record{Data: text(2), Version: v}); err != nil {
					c.Errorf("Save while another holds the lease: %v", err)
				} else {
					c.wantRecord(a, key, text(2))
					c.replace(a, key, text(3), got)
				}
				c.wantHeld(b, key)
				if err := lease.Renew(c.ctx, holding); err != nil {
					c.Errorf("Renew after the record was saved: %v", err)
				}
				if err := b.Delete(c.soon(), key); err != nil {
					c.Errorf("Delete while another holds the lease: %v", err)
				}
				c.wantNone(a, key)
				c.wantHeld(b, key)
				if _, err := a.Save(c.soon(), key, core.Record{Data: text(4), Version: c.absent()}); err != nil {
					c.Errorf("Save under the lease of a record deleted meanwhile: %v", err)
				}
				c.wantRecord(b, key, text(4))
				if err := lease.Release(c.ctx); err != nil {
					c.Errorf("Release: %v", err)
				}
				c.wantFree(b, key)
			}},
		{"expiry", must("A lease that nobody renews becomes free when its ttl has passed, and not before."), lease | expires,
			func(c *trial) {
				a, b := c.pair()
				begun := time.Now()
				c.acquire(a, key, c.leaseTTL)
				c.letExpire(c.leaseTTL)
				c.takeOver(b, key, holding)
				if after := time.Since(begun); c.advance == nil && after < c.leaseTTL {
					c.Errorf("a lease of %v was free after %v", c.leaseTTL, after.Round(time.Millisecond))
				}
				c.wantHeld(a, key)
			}},
		{"lasts", must("A lease lasts as long as was asked for: a lease of a minute is still held when a shorter one has expired."), lease | expires,
			func(c *trial) {
				a, b := c.pair()
				lease := c.acquire(a, key, holding)
				c.outlast(b, c.leaseTTL)
				c.wantHeld(b, key)
				if err := lease.Renew(c.ctx, holding); err != nil {
					c.Errorf("Renew of a lease whose ttl has not passed: %v", err)
				}
			}},
		{"long", must("A lease of an hour, acquired or renewed, is held when most of the hour has passed, and free when all of it has."), lease | expires,
			func(c *trial) {
				a, b := c.pair()
				if c.advance == nil {
					c.skip("the harness's Env is no Advancer")
				}
				lease := c.acquire(a, key, time.Hour)
				for range 2 {
					c.letExpire(55 * time.Minute)
					c.wantHeld(b, key)
					if err := lease.Renew(c.ctx, time.Hour); err != nil {
						c.Errorf("Renew of a lease of which five minutes are left: %v", err)
					}
				}
				c.letExpire(time.Hour)
				c.takeOver(b, key, holding)
			}},
		{"renewed-lasts", must("Renew makes a lease last for the ttl that it gets, counted from now."), lease | expires,
			func(c *trial) {
				a, b := c.pair()
				// This lease may expire before Renew has answered, on a machine that is
				// held up. Then it is tried again.
				var lease core.Lease
				c.eventually(func() error {
					lease = c.takeOver(a, key, c.leaseTTL)
					return lease.Renew(c.ctx, holding)
				}, "Renew at once after Acquire")
				c.outlast(b, c.leaseTTL)
				c.wantHeld(b, key)
				if err := lease.Renew(c.ctx, c.leaseTTL); err != nil {
					c.Errorf("Renew of a renewed lease: %v", err)
				}
				c.letExpire(c.leaseTTL)
				c.takeOver(b, key, holding)
			}},
		{"expired", must("The holder of an expired lease is told: Renew and Release return ErrLeaseLost even if nobody else took the lease, and Renew doesn't take it back."), lease | expires,
			func(c *trial) {
				a, b := c.pair()
				renewed := c.acquire(a, key, c.leaseTTL)
				released := c.acquire(a, "other", c.leaseTTL)
				c.outlast(b, c.leaseTTL)
				c.wantErr(renewed.Renew(c.ctx, holding), core.ErrLeaseLost, "Renew of an expired lease")
				c.wantErr(released.Release(c.ctx), core.ErrLeaseLost, "Release of an expired lease")
				c.wantFree(b, key)
				c.wantFree(b, "other")
			}},
		{"taken-over", must("A former holder neither revives its lease nor ends its successor's: Renew and Release return ErrLeaseLost, and the successor keeps the lease."), lease | expires,
			func(c *trial) {
				a, b := c.pair()
				old := c.acquire(a, key, c.leaseTTL)
				released := c.acquire(a, "other", c.leaseTTL) // without a Renew, which tells a handle that the lease is lost
				c.letExpire(c.leaseTTL)
				successor := c.takeOver(b, key, holding)
				c.takeOver(b, "other", holding)
				c.wantErr(released.Release(c.ctx), core.ErrLeaseLost, "Release by a former holder, at once")
				c.wantHeld(a, "other")
				c.wantPowerless(old, a, successor)
			}},
		{"taken-over-here", must("Leases of one handle are told apart: an expired one has no effect on its successor from the same handle."), lease | expires,
			func(c *trial) {
				a := c.open()
				old := c.acquire(a, key, c.leaseTTL)
				c.letExpire(c.leaseTTL)
				successor := c.takeOver(a, key, holding)
				c.wantPowerless(old, a, successor)
			}},
		{"one-heir", must("When many wait for a lease that expires, one gets it."), lease | expires,
			func(c *trial) {
				a, b := c.pair()
				for range 2 {
					c.acquire(a, key, c.leaseTTL)
					c.letExpire(c.leaseTTL)
					var heirs atomic.Int32
					var heir atomic.Pointer[core.Lease]
					deadline := time.Now().Add(c.patience)
					c.together(8, func(i int) {
						leaser := c.leaser([]core.TokenBackend{a, b}[i%2])
						for last := false; !last && time.Now().Before(deadline) && c.ctx.Err() == nil; {
							last = heirs.Load() > 0
							lease, err := leaser.Acquire(c.ctx, key, holding)
							if err == nil {
								c.held(lease)
								heirs.Add(1)
								heir.Store(&lease)
								return
							}
							if !errors.Is(err, core.ErrLeaseHeld) {
								c.Errorf("Acquire beside others = %v, want ErrLeaseHeld", err)
								return
							}
							time.Sleep(time.Millisecond)
						}
					})
					if n := heirs.Load(); n != 1 {
						c.Fatalf("%d got the expired lease", n)
					}
					if err := (*heir.Load()).Release(c.ctx); err != nil {
						c.Errorf("Release by the heir: %v", err)
					}
				}
			}},
		{"fencing", must("A holder whose lease was taken over while it slept can't overwrite its successor's record: Save with the version that it loaded returns ErrConflict."), lease | expires | enforced,
			func(c *trial) {
				a, b := c.pair()
				c.save(a, key, text(1))
				c.acquire(a, key, c.leaseTTL)
				seen := c.load(a, key).Version
				c.letExpire(c.leaseTTL)
				c.takeOver(b, key, holding)
				next := c.replace(b, key, text(2), c.load(b, key).Version)
				c.wantConflict(a, seen, "the version a former holder loaded")
				c.wantUntouched(b, next, text(2))
			}},
		{"detached", must("A lease stays held after the contexts of its Acquire and its Renew have ended: only Release ends it, or its ttl."), lease,
			func(c *trial) {
				a, b := c.pair()
				for _, renewed := range []bool{false, true} {
					ctx, cancel := context.WithCancel(c.ctx)
					defer cancel()
					lease, err := c.leaser(a).Acquire(ctx, key, holding)
					if err != nil {
						c.Fatalf("Acquire(%q): %v", key, err)
					}
					c.held(lease)
					if renewed {
						cancel()
						if ctx, cancel = context.WithCancel(c.ctx); lease.Renew(ctx, holding) != nil {
							c.Errorf("Renew fails once the context of Acquire has ended")
						}
					}
					cancel()
					// The lease may be released in the background, and soon.
					for range 10 {
						c.wantHeld(b, key)
						time.Sleep(time.Millisecond)
					}
					if err := lease.Release(c.ctx); err != nil {
						c.Errorf("Release of a lease whose context has ended: %v", err)
					}
				}
			}},
		{"no-expiry", must("A record has no time to live: it is still stored when the lease under which it was saved has expired."), lease | expires,
			func(c *trial) {
				a, b := c.pair()
				c.save(a, key, text(1))
				c.acquire(a, key, c.leaseTTL)
				c.save(a, "other", text(2))
				c.save(a, key, text(3))
				c.outlast(b, c.leaseTTL)
				if c.advance != nil {
					c.advance(100 * 24 * time.Hour) // longer than any token
				}
				for _, handle := range []core.TokenBackend{a, b} {
					c.wantRecord(handle, key, text(3))
					c.wantRecord(handle, "other", text(2))
				}
			}},
		{"many", must("Leases of many keys can be held at the same time, each by itself."), lease,
			func(c *trial) {
				a, b := c.pair()
				held := make([]core.Lease, 10)
				for i := range held {
					held[i] = c.acquire(a, fmt.Sprintf("key-%d", i), holding)
				}
				for i, lease := range held {
					if i%2 == 0 {
						if err := lease.Release(c.ctx); err != nil {
							c.Errorf("Release: %v", err)
						}
					}
				}
				for i := range held {
					if key := fmt.Sprintf("key-%d", i); i%2 == 0 {
						c.wantFree(b, key)
					} else {
						c.wantHeld(b, key)
					}
				}
			}},
	}
}

// wantPowerless expects that a former lease has no effect on its successor.
func (c *trial) wantPowerless(old core.Lease, b core.TokenBackend, successor core.Lease) {
	c.wantErr(old.Renew(c.ctx, holding), core.ErrLeaseLost, "Renew by a former holder")
	c.wantHeld(b, key)
	c.wantErr(old.Release(c.ctx), core.ErrLeaseLost, "Release by a former holder")
	c.wantHeld(b, key)
	if err := successor.Renew(c.ctx, holding); err != nil {
		c.Errorf("Renew by the successor: %v", err)
	}
}

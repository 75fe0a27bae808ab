package conformance

import (
	"context"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func watch() []testCase {
	const needs = watches
	return []testCase{
		{"changed", must("Wait returns nil at once if the stored version differs from the one seen, even if the lease is held."), needs,
			func(c *trial) {
				a, b := c.pair()
				old := c.save(a, key, text(1))
				v := c.save(a, key, text(2))
				c.holdIfLeaser(a)
				for _, handle := range []core.TokenBackend{a, b} {
					c.wantWoken(c.waiting(handle, old), "the version is another")
					c.wantWoken(c.waiting(handle, core.Absent), "nothing had been stored")
				}
				c.delete(a, key)
				c.wantWoken(c.waiting(b, v), "the record is deleted")
			}},
		{"free", must("Wait returns nil at once if the lease is free."), needs,
			func(c *trial) {
				a, b := c.pair()
				c.wantWoken(c.waiting(b, core.Absent), "the lease is free")
				v := c.save(a, key, text(1))
				c.wantWoken(c.waiting(b, v), "the lease is free")
				if c.want.Lease {
					c.release(c.acquire(a, key, holding))
					c.wantWoken(c.waiting(a, v), "the lease was released before")
					c.wantWoken(c.waiting(b, v), "the lease was released before")
				}
			}},
		{"waits", must("Wait goes on while the lease is held and the version is the one seen, and ends with an error when its context is done."), needs | lease,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				c.acquire(a, key, holding)
				c.acquire(a, "unsaved", holding)
				for _, w := range []struct {
					key  string
					seen core.Version
				}{{key, v}, {"unsaved", core.Absent}} {
					ctx, cancel := context.WithTimeout(c.ctx, 100*time.Millisecond)
					begun := time.Now()
					if err := c.watcher(b).Wait(ctx, w.key, w.seen); err == nil {
						c.Errorf("Wait(%q) = nil, though the lease is held and the version is the one seen", w.key)
					} else if ctx.Err() == nil {
						c.Errorf("Wait(%q) = %v before its context was done", w.key, err)
					}
					cancel()
					if took := time.Since(begun); took > c.patience {
						c.Errorf("Wait(%q) returned %v after it was called with a deadline of 100ms", w.key, took)
					}
				}
			}},
		{"save", must("A Save wakes the waiters."), needs | lease,
			func(c *trial) {
				a, b := c.pair()
				c.acquire(a, key, holding)
				waiting := []<-chan error{c.waiting(a, core.Absent), c.waiting(b, core.Absent)}
				c.wantAsleep(waiting)
				v := c.save(a, key, text(1))
				c.wantWoken(waiting[0], "the record was saved")
				c.wantWoken(waiting[1], "the record was saved")
				waiting = []<-chan error{c.waiting(a, v), c.waiting(b, v)}
				c.wantAsleep(waiting)
				c.save(b, key, text(2))
				c.wantWoken(waiting[0], "the record was saved")
				c.wantWoken(waiting[1], "the record was saved")
			}},
		{"save-version", must("A Save with a version wakes the waiters, as one with AnyVersion does; a Save that is refused doesn't."), needs | lease | detects,
			func(c *trial) {
				a, b := c.pair()
				c.acquire(a, key, holding)
				waiting := []<-chan error{c.waiting(a, core.Absent), c.waiting(b, core.Absent)}
				c.wantAsleep(waiting)
				c.wantConflict(a, "no-such-version", "a version nobody made up")
				c.wantAsleep(waiting)
				v := c.replace(a, key, text(1), core.Absent)
				c.wantWoken(waiting[0], "the record was created")
				c.wantWoken(waiting[1], "the record was created")
				waiting = []<-chan error{c.waiting(a, v), c.waiting(b, v)}
				c.wantAsleep(waiting)
				c.wantConflict(b, core.Absent, "Absent, over a record,")
				c.wantAsleep(waiting)
				c.replace(b, key, text(2), v)
				c.wantWoken(waiting[0], "the record was replaced")
				c.wantWoken(waiting[1], "the record was replaced")
			}},
		{"renew", must("A renewed lease wakes no waiter, because the lease is held and the version is the one seen."), needs | lease,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				lease := c.acquire(a, key, holding)
				waiting := []<-chan error{c.waiting(a, v), c.waiting(b, v)}
				for range 3 {
					c.wantAsleep(waiting)
					if err := lease.Renew(c.ctx, holding); err != nil {
						c.Errorf("Renew of a held lease: %v", err)
					}
				}
				c.wantAsleep(waiting)
				c.wantHeld(b, key)
				c.wantAsleep(waiting)
				c.release(lease)
				c.wantWoken(waiting[0], "the lease was released")
				c.wantWoken(waiting[1], "the lease was released")
			}},
		{"delete", must("A Delete wakes the waiters."), needs | lease,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				c.acquire(a, key, holding)
				waiting := []<-chan error{c.waiting(a, v), c.waiting(b, v)}
				c.wantAsleep(waiting)
				c.delete(a, key)
				c.wantWoken(waiting[0], "the record was deleted")
				c.wantWoken(waiting[1], "the record was deleted")
			}},
		{"release", must("A released lease wakes the waiters."), needs | lease,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				lease := c.acquire(a, key, holding)
				waiting := []<-chan error{c.waiting(a, v), c.waiting(b, v)}
				c.wantAsleep(waiting)
				if err := lease.Release(c.ctx); err != nil {
					c.Errorf("Release: %v", err)
				}
				c.wantWoken(waiting[0], "the lease was released")
				c.wantWoken(waiting[1], "the lease was released")
			}},
		{"expiry", must("An expired lease wakes the waiters."), needs | lease | expires,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				c.acquire(a, key, c.leaseTTL)
				waiting := []<-chan error{c.waiting(a, v), c.waiting(b, v)}
				c.letExpire(c.leaseTTL)
				c.wantWoken(waiting[0], "the lease expired")
				c.wantWoken(waiting[1], "the lease expired")
			}},
		{"other-keys", must("A change to another key wakes no waiter."), needs | lease,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(1))
				c.acquire(a, key, holding)
				waiting := []<-chan error{c.waiting(a, v), c.waiting(b, v)}
				c.wantAsleep(waiting)
				c.save(a, "other", text(2))
				c.wantFree(b, "other")
				c.delete(b, "other")
				c.wantAsleep(waiting)
				c.save(a, key, text(3))
				c.wantWoken(waiting[0], "the record was saved")
				c.wantWoken(waiting[1], "the record was saved")
			}},
	}
}

func (c *trial) watcher(b core.TokenBackend) core.Watcher {
	w, ok := core.As[core.Watcher](b)
	if !ok {
		c.Fatalf("%T is no core.Watcher", b)
	}
	return w
}

// waiting begins to Wait on key, and returns the result through a channel.
func (c *trial) waiting(b core.TokenBackend, seen core.Version) <-chan error {
	w := c.watcher(b)
	ctx, cancel := context.WithCancel(c.ctx)
	answer, over := make(chan error, 1), make(chan struct{})
	go c.guard(func() {
		defer close(over)
		answer <- w.Wait(ctx, key, seen)
	})
	c.later(func() {
		cancel()
		<-over
	})
	return answer
}

func (c *trial) wantWoken(waiting <-chan error, because string) {
	select {
	case err := <-waiting:
		if err != nil {
			c.Errorf("Wait = %v, want nil, since %s", err, because)
		}
	case <-time.After(c.patience):
		c.Errorf("Wait goes on after %v, though %s", c.patience, because)
	case <-c.ctx.Done():
		c.Errorf("Wait goes on, though %s", because)
	}
}

// wantAsleep expects that no waiter has been woken yet, and gives them the time to fall
// asleep.
func (c *trial) wantAsleep(waiting []<-chan error) {
	time.Sleep(20 * time.Millisecond)
	for _, w := range waiting {
		select {
		case err := <-w:
			c.Fatalf("Wait = %v, though the lease is held and the version is the one seen", err)
		default:
		}
	}
}

func (c *trial) holdIfLeaser(b core.TokenBackend) {
	if c.want.Lease {
		c.acquire(b, key, holding)
	}
}

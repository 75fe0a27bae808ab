package conformance

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func claims() []testCase {
	return []testCase{
		{"cas", must("The backend compares versions as it claims: it does so where CASDetects or CASEnforced is claimed, and only there."), 0,
			func(c *trial) {
				a := c.open()
				old := c.save(a, key, text(1))
				c.save(a, key, text(2))
				_, err := a.Save(c.ctx, key, core.Record{Data: text(3), Version: old})
				switch heeds := errors.Is(err, core.ErrConflict); {
				case heeds && c.want.CAS == CASNone:
					c.Errorf("a stale Save answers ErrConflict, and the claim is CASNone")
				case !heeds && c.want.CAS > CASNone:
					c.Errorf("a stale Save = %v, want ErrConflict, since the claim is CAS: %v", err, c.want.CAS)
				}
			}},
		{"coordinates", must("ShouldRefresh runs Refresh where Coordinates is claimed, and leaves it to the caller elsewhere."), 0,
			func(c *trial) {
				a := c.open()
				seen := c.save(a, key, text(1))
				runs := 0
				d, err := a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
					runs++
					return saveNext(ctx, a, current, text(2))
				}})
				want := core.RefreshNow
				if c.want.Coordinates {
					want = core.RefreshedHere
				}
				if err != nil || d != want || (runs == 1) != c.want.Coordinates {
					c.Errorf("ShouldRefresh = %v, %v and ran Refresh %d times; the claim is Coordinates: %v", d, err, runs, c.want.Coordinates)
				}
			}},
		{"lease", must("The backend is a core.Leaser where Lease is claimed, and only there."), 0,
			func(c *trial) { claim[core.Leaser](c, c.want.Lease) }},
		{"lease-expires", must("A lease that is not renewed becomes free where LeaseExpires is claimed, and only there."), lease,
			func(c *trial) {
				a, b := c.pair()
				c.acquire(a, key, c.leaseTTL)
				c.letExpire(c.leaseTTL)
				if c.want.LeaseExpires {
					c.takeOver(b, key, holding)
					return
				}
				deadline := time.Now().Add(4 * c.leaseTTL)
				for time.Now().Before(deadline) {
					if lease, err := c.leaser(b).Acquire(c.ctx, key, holding); err == nil {
						c.held(lease)
						c.Errorf("a lease expired, and LeaseExpires is not claimed")
						return
					}
					time.Sleep(c.leaseTTL / 10)
				}
			}},
		{"watch", must("The backend is a core.Watcher where Watch is claimed, and only there."), 0,
			func(c *trial) { claim[core.Watcher](c, c.want.Watch) }},
		{"list", must("The backend is a core.Lister where List is claimed, and only there."), 0,
			func(c *trial) { claim[core.Lister](c, c.want.List) }},
		{"ping", must("The backend is a core.Pinger where Ping is claimed, and only there; Ping of a store that can be reached succeeds."), 0,
			func(c *trial) {
				if p, ok := claim[core.Pinger](c, c.want.Ping); ok {
					if err := p.Ping(c.soon()); err != nil {
						c.Errorf("Ping: %v", err)
					}
				}
			}},
		{"max-size", must("The backend is a core.SizeLimiter that returns MaxSize where a limit is claimed, and only there."), 0,
			func(c *trial) {
				size := 0
				if l, ok := core.As[core.SizeLimiter](c.open()); ok {
					size = l.MaxSize()
				}
				if size != c.want.MaxSize {
					c.Errorf("the backend's MaxSize is %d, and %d is claimed", size, c.want.MaxSize)
				}
			}},
		{"space", must("Space returns no negative number, where the backend is a core.SpaceReporter; a store that refuses to tell returns an error."), 0,
			func(c *trial) {
				reporter, ok := core.As[core.SpaceReporter](c.open())
				if !ok {
					return
				}
				if used, most, err := reporter.Space(c.soon()); err == nil && (used < 0 || most < 0) {
					c.Errorf("Space = %d of %d bytes", used, most)
				}
			}},
		{"place", must("Two stores have two places, where the backend is a core.Locator: core.Stores on one place share the records that they find."), 0,
			func(c *trial) {
				a := c.open()
				place := placeOf(a)
				if place == nil {
					return
				}
				b := c.anotherStore().Open(c.host)
				if placeOf(b) != place {
					return
				}
				c.save(a, key, text(1)) // New may have emptied the only store there is
				if _, err := b.Load(c.ctx, key); errors.Is(err, core.ErrNotFound) {
					c.Errorf("two stores have one Place, a %T, and what one of them saves, the other doesn't have: put into it whatever tells stores apart, such as the client, the table and the prefix", place)
				}
			}},
		{"consistent", must("The claims fit together: LeaseExpires needs Lease."), 0,
			func(c *trial) {
				c.open()
				if c.want.LeaseExpires && !c.want.Lease {
					c.Errorf("LeaseExpires is claimed without Lease")
				}
			}},
	}
}

// placeOf returns the place of a backend as core.Store sees it, or nil if it has none.
func placeOf(b core.TokenBackend) any {
	if l, ok := b.(core.Locator); ok {
		if place := l.Place(); place != nil && reflect.ValueOf(place).Comparable() {
			return place
		}
	}
	return nil
}

// claim expects that the backend is an I if that is claimed, and only then.
func claim[I any](c *trial, claimed bool) (I, bool) {
	capability, has := core.As[I](c.open())
	switch {
	case has && !claimed:
		c.Errorf("the backend is a %v: claim that in Harness.Want, or remove the method", reflect.TypeFor[I]())
	case claimed && !has:
		c.Errorf("Harness.Want claims that the backend, a %T, is a %v, and core.As finds none: compare the methods' signatures", c.backend, reflect.TypeFor[I]())
	}
	return capability, has && claimed
}

package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/graphtoken/graphtoken/core"
)

func list() []testCase {
	return []testCase{
		{"empty", must("Keys of an empty store yields nothing."), lists,
			func(c *trial) { c.wantKeys(c.open()) }},
		{"exact", must("Keys yields the key of every stored record once, and no other, whichever handle saved it."), lists,
			func(c *trial) {
				a, b := c.pair()
				var all []string
				for i := range 25 {
					all = append(all, fmt.Sprintf("user-%d", i))
					c.save([]core.TokenBackend{a, b}[i%2], all[i], text(i))
				}
				c.save(a, all[0], text(100))
				c.wantKeys(a, all...)
				c.wantKeys(b, all...)
			}},
		{"as-saved", must("Keys yields keys as they were given to Save, not as the store writes them."), lists,
			func(c *trial) {
				a, b := c.pair()
				all := []string{"o365_token.txt", "O365TOKEN", "ana@contoso.com", "Ana", "ana", "a/b", `a\b`, "a%2Fb", "..", ".", " ", "a ", "e\u0301", "é", "🔑", "con", "=41", "%61", "*", "token.lock", ".lock", "-", "_", "~a", long("a"), long("/")}
				for i, key := range all {
					c.save(a, key, text(i))
				}
				c.wantKeys(a, all...)
				c.wantKeys(b, all...)
			}},
		{"deleted", must("Keys doesn't yield the keys of deleted records."), lists,
			func(c *trial) {
				a, b := c.pair()
				for i, key := range []string{"one", "two", "three"} {
					c.save(a, key, text(i))
				}
				c.delete(b, "two")
				c.wantKeys(a, "one", "three")
				c.wantKeys(b, "one", "three")
				c.delete(a, "one")
				c.delete(a, "three")
				c.wantKeys(b)
			}},
		{"records-only", must("Keys yields records only: no leases, nothing that Ping tried, and nothing else that the backend keeps for itself."), lists,
			func(c *trial) {
				a, b := c.pair()
				if c.want.Lease {
					c.acquire(a, "leased only", holding)
					c.acquire(a, key, holding)
				}
				if p, ok := core.As[core.Pinger](a); ok {
					if err := p.Ping(c.soon()); err != nil {
						c.Errorf("Ping: %v", err)
					}
				}
				seen := c.save(a, "refreshed", text(1))
				if c.want.Coordinates {
					d, err := a.ShouldRefresh(c.soon(), "refreshed", core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
						_, err := a.Save(ctx, "refreshed", core.Record{Data: text(2), Version: current.Version})
						return err
					}})
					c.wantDecision(d, err, core.RefreshedHere, "the record is the one seen")
				}
				c.save(a, key, text(3))
				c.save(b, "gone", text(4))
				c.delete(a, "gone")
				c.wantKeys(a, "refreshed", key)
				c.wantKeys(b, "refreshed", key)
			}},
		{"stop", must("A caller may stop early: the sequence ends there, and the backend works on, also inside the loop."), lists,
			func(c *trial) {
				a, b := c.pair()
				all := []string{"one", "two", "three", "four"}
				for i, key := range all {
					c.save(a, key, text(i))
				}
				for k, err := range c.lister(a).Keys(c.soon()) {
					if err != nil {
						c.Fatalf("Keys: %v", err)
					}
					if _, err := b.Load(c.soon(), k); err != nil {
						c.Errorf("Load(%q) within the loop over Keys: %v", k, err)
					}
					if _, err := a.Save(c.soon(), k, core.Record{Data: text(10), Version: core.AnyVersion}); err != nil {
						c.Errorf("Save(%q) within the loop over Keys: %v", k, err)
					}
					for _, err := range c.lister(a).Keys(c.soon()) {
						if err != nil {
							c.Errorf("Keys within the loop over Keys: %v", err)
						}
					}
					break
				}
				c.wantKeys(a, all...)
			}},
		{"cancelled", must("Keys with a cancelled context ends with an error: an incomplete list never looks complete."), lists,
			func(c *trial) {
				a := c.open()
				for i := range 5 {
					c.save(a, fmt.Sprintf("user-%d", i), text(i))
				}
				ctx, cancel := context.WithCancel(c.ctx)
				cancel()
				n, failed := 0, false
				for _, err := range c.lister(a).Keys(ctx) {
					switch {
					case failed:
						c.Errorf("the sequence goes on after an error")
						return
					case err != nil:
						failed = true
					default:
						n++
					}
				}
				if !failed && n != 5 {
					c.Errorf("Keys with a cancelled context yields %d of 5 keys and no error", n)
				}
			}},
	}
}

func (c *trial) lister(b core.TokenBackend) core.Lister {
	l, ok := core.As[core.Lister](b)
	if !ok {
		c.Fatalf("%T is no core.Lister", b)
	}
	return l
}

// wantKeys expects exactly these keys, in any order.
func (c *trial) wantKeys(b core.TokenBackend, want ...string) {
	var got []string
	for key, err := range c.lister(b).Keys(c.ctx) {
		if err != nil {
			c.Errorf("Keys: %v", err)
			return
		}
		got = append(got, key)
	}
	slices.Sort(got)
	slices.Sort(want)
	if slices.Equal(got, want) {
		return
	}
	if len(want) <= 50 && len(got) <= 100 {
		c.Errorf("Keys = %q, want %q", got, want)
		return
	}
	times := map[string]int{}
	for _, key := range got {
		times[key]++
	}
	missing, twice := []string{}, []string{}
	for _, key := range want {
		switch {
		case times[key] == 0:
			missing = append(missing, key)
		case times[key] > 1:
			twice = append(twice, key)
		}
		delete(times, key)
	}
	few := func(keys []string) []string { return keys[:min(len(keys), 3)] }
	c.Errorf("Keys yields %d keys where %d are stored: %d are missing %q, %d come more than once %q, %d were never saved %q",
		len(got), len(want), len(missing), few(missing), len(twice), few(twice), len(times), few(slices.Sorted(maps.Keys(times))))
}

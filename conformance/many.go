package conformance

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// The rules for a few hold for many, too. The counts exceed those at which stores and
// their clients turn a page (100, 1,000) or a byte overflows (255).
func many() []testCase {
	return []testCase{
		{"records", must("However many records are stored, each is read, replaced and deleted by itself."), 0,
			func(c *trial) {
				a, b := c.pair()
				n := c.fill(1_100, a, b)
				c.all(n, func(i int) { c.wantRecord(either(b, a, i), numbered(i), text(i)) })
				c.all(n, func(i int) {
					switch handle := either(b, a, i); i % 4 {
					case 0, 2:
						c.delete(handle, numbered(i))
					case 1:
						c.replace(handle, numbered(i), text(-i), c.load(handle, numbered(i)).Version)
					}
				})
				c.all(n, func(i int) {
					switch handle := either(a, b, i); i % 4 {
					case 0, 2:
						c.wantNone(handle, numbered(i))
					case 1:
						c.wantRecord(handle, numbered(i), text(-i))
					case 3:
						c.wantRecord(handle, numbered(i), text(i))
					}
				})
			}},
		{"keys-100", must("Keys yields every key once also where there are 100 records, one more, and over twice as many."), lists,
			listed(100, 101, 201)},
		{"keys-1000", must("Keys yields every key once also where there are 1,000 records, one more, and over twice as many."), lists,
			listed(1_000, 1_001, 2_001)},
		{"keys-interrupted", must("If the context of Keys ends in the middle of many keys, Keys yields all of them or ends with an error: an incomplete list never looks complete."), lists,
			func(c *trial) {
				a, b := c.pair()
				n := c.fill(1_001, a, b)
				for _, after := range []int{1, n / 2} {
					ctx, cancel := context.WithCancel(c.ctx)
					got := 0
					var last error
					for _, err := range c.lister(a).Keys(ctx) {
						if last = err; err != nil {
							break
						}
						if got++; got == after {
							cancel()
						}
					}
					cancel()
					if last == nil && got != n {
						c.Errorf("Keys whose context ended after %d keys yields %d of %d keys and no error", after, got, n)
					}
				}
			}},
		{"keys-outage", must("If an outage begins in the middle of many keys, Keys yields all of them or ends with an error."), lists | fails,
			func(c *trial) {
				a, b := c.pair()
				n := c.fill(1_001, a, b)
				got := 0
				var last error
				for _, err := range c.lister(b).Keys(c.soon()) {
					if last = err; err != nil {
						break
					}
					if got++; got == 1 {
						c.fail(-1)
					}
				}
				c.fail(0)
				if last == nil && got != n {
					c.Errorf("Keys that met an outage after one key yields %d of %d keys and no error", got, n)
				}
				if last != nil {
					c.wantOutage(last, "Keys")
				}
			}},
		{"leases", must("Leases of many keys can be held at the same time, each by itself: releasing one frees no other."), lease,
			func(c *trial) {
				a, b := c.pair()
				var held [110]core.Lease
				n := c.spread(0, len(held), c.enough(), func(i int) { held[i] = c.acquire(either(a, b, i), numbered(i), holding) })
				c.logged(n, len(held), "leases held")
				c.all(n, func(i int) { c.wantHeld(either(b, a, i), numbered(i)) })
				c.all(n, func(i int) {
					if i%2 == 0 {
						c.release(held[i])
					}
				})
				c.all(n, func(i int) {
					if i%2 == 0 {
						c.wantFree(either(b, a, i), numbered(i))
						return
					}
					c.wantHeld(either(b, a, i), numbered(i))
					if err := held[i].Renew(c.ctx, holding); err != nil {
						c.Errorf("Renew of a lease beside many: %v", err)
					}
				})
			}},
		{"renewals", must("A lease can be renewed as often as its holder needs it, and is exclusive all the time."), lease,
			func(c *trial) {
				a, b := c.pair()
				lease := c.acquire(a, key, holding)
				c.often(20, 300, func(i int) {
					if err := lease.Renew(c.ctx, holding); err != nil {
						c.Errorf("Renew number %d of a held lease: %v", i+1, err)
					}
					if i%10 == 9 {
						c.wantHeld(b, key)
					}
				})
				c.wantHeld(b, key)
				c.release(lease)
				c.wantFree(b, key)
			}},
		{"acquires", must("The lease of one key can be acquired and released any number of times."), lease,
			func(c *trial) {
				a, b := c.pair()
				c.often(20, 300, func(i int) {
					lease := c.acquire(either(a, b, i/2), key, holding)
					if i%10 == 9 {
						c.wantHeld(b, key)
					}
					c.release(lease)
				})
				c.wantFree(a, key)
			}},
		{"versions", must("However many versions a record has had, all differ, and Save refuses all but the last."), detects,
			func(c *trial) {
				a, b := c.pair()
				v := c.replace(a, key, text(0), core.Absent)
				had := []core.Version{v}
				c.often(20, 300, func(i int) {
					v = c.replace(either(b, a, i), key, text(i+1), v)
					had = append(had, v)
				})
				c.wantUntouched(a, v, text(len(had)-1))
				for _, i := range []int{0, 1, len(had) / 2, len(had) - 2} {
					c.wantConflict(b, had[i], fmt.Sprintf("version %d of %d", i+1, len(had)))
				}
				c.wantUntouched(b, v, text(len(had)-1))
				slices.Sort(had)
				if distinct := len(slices.Compact(slices.Clone(had))); distinct != len(had) {
					c.Errorf("%d records under one key had %d versions", len(had), distinct)
				}
			}},
		{"refreshes", must("Records of many keys are refreshed at the same time, each once, and none waits for another."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				n := c.crowd(a, 10, 50)
				seen := make([]core.Version, n)
				c.all(n, func(i int) { seen[i] = c.save(either(a, b, i), numbered(i), text(i)) })
				running := newGathering(n)
				runs := make([]atomic.Int32, n)
				c.together(2*n, func(i int) {
					handle, i := either(a, b, i), i/2
					d, err := handle.ShouldRefresh(c.ctx, numbered(i), core.RefreshRequest{Seen: seen[i], LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
						runs[i].Add(1)
						c.wantCurrent(current, text(i), seen[i])
						if here := running.wait(c.soon()); here < n {
							c.Errorf("%d of %d refreshes of different keys ran at one time", here, n)
						}
						_, err := handle.Save(ctx, numbered(i), core.Record{Data: text(-1 - i), Version: current.Version})
						return err
					}})
					if err != nil || d != core.RefreshedHere && d != core.RefreshedElsewhere {
						c.Errorf("ShouldRefresh beside refreshes of other keys = %v, %v", d, err)
					}
				})
				for i := range runs {
					c.wantRuns(int(runs[i].Load()), 1)
				}
				c.all(n, func(i int) {
					c.wantRecord(either(b, a, i), numbered(i), text(-1-i))
					if c.want.Lease {
						c.wantFree(either(b, a, i), numbered(i))
					}
				})
			}},
		{"waiters", must("However many wait, all are woken by a Save, a Delete and a released lease."), watches | lease,
			func(c *trial) {
				a, b := c.pair()
				n := c.crowd(a, 10, 100)
				v := c.save(a, key, text(1))
				lease := c.acquire(a, key, holding)
				for _, change := range []struct {
					because string
					do      func()
				}{
					{"the record was saved", func() { v = c.replace(b, key, text(2), v) }},
					{"the record was deleted", func() { c.delete(a, key); v = core.Absent }},
					{"the lease was released", func() { c.release(lease) }},
				} {
					waiting := make([]<-chan error, n)
					for i := range waiting {
						waiting[i] = c.waiting(either(a, b, i), v)
					}
					c.wantAsleep(waiting)
					change.do()
					for _, w := range waiting {
						if c.wantWoken(w, fmt.Sprintf("%s, and %d waited for it", change.because, n)); c.Failed() {
							return
						}
					}
				}
			}},
		{"waits", must("A waiter that waits again and again is woken each time."), watches | lease,
			func(c *trial) {
				a, b := c.pair()
				v := c.save(a, key, text(0))
				c.acquire(a, key, holding)
				c.often(5, 50, func(i int) {
					waiting := c.waiting(either(b, a, i), v)
					if i%10 == 0 {
						c.wantAsleep([]<-chan error{waiting})
					}
					v = c.replace(a, key, text(i+1), v)
					c.wantWoken(waiting, fmt.Sprintf("the record was saved, for the time %d", i+2))
				})
			}},
		{"handles", must("However many handles a store has, each sees the changes of the others, and respects their leases."), 0,
			func(c *trial) {
				handles := make([]core.TokenBackend, 12)
				for i := range handles {
					handles[i] = c.open()
				}
				v := c.save(handles[0], key, text(0))
				for i, handle := range handles {
					c.wantUntouched(handle, v, text(i))
					if next := handles[(i+1)%len(handles)]; c.want.Lease {
						lease := c.acquire(handle, key, holding)
						c.wantHeld(next, key)
						c.release(lease)
					}
					old := v
					v = c.replace(handle, key, text(i+1), v)
					if c.want.CAS > CASNone {
						c.wantConflict(handles[(i+2)%len(handles)], old, "the version before")
					}
				}
				for _, handle := range handles {
					c.wantUntouched(handle, v, text(len(handles)))
				}
			}},
		{"callers", must("One handle serves many callers at the same time, and goes on doing so."), 0,
			func(c *trial) {
				a := c.open()
				c.together(64, func(i int) {
					c.often(1, 4, func(round int) {
						data := text(i*1000 + round)
						v := c.replace(a, numbered(i), data, c.absent())
						if rec := c.load(a, numbered(i)); string(rec.Data) != string(data) || rec.Version != v {
							c.Errorf("Load = %s under version %s, want %s under version %s", brief(rec.Data), show(rec.Version), brief(data), show(v))
						}
						if c.want.Lease {
							lease := c.acquire(a, numbered(i), holding)
							c.wantHeld(a, numbered(i))
							c.release(lease)
						}
						c.delete(a, numbered(i))
						c.wantNone(a, numbered(i))
					})
				})
			}},
	}
}

func numbered(i int) string { return fmt.Sprintf("user-%d", i) }

// either returns the two handles in turns.
func either(a, b core.TokenBackend, i int) core.TokenBackend {
	if i%2 == 0 {
		return a
	}
	return b
}

// fill saves up to n records, as many as the store accepts in the time there is, and
// returns how many they are.
func (c *trial) fill(n int, a, b core.TokenBackend) int {
	filled := c.fillUp(0, n, c.enough(), a, b)
	c.logged(filled, n, "records")
	return filled
}

func (c *trial) fillUp(first, end int, within time.Duration, a, b core.TokenBackend) int {
	return c.spread(first, end, within, func(i int) { c.replace(either(a, b, i), numbered(i), text(i), c.absent()) })
}

func (c *trial) logged(n, most int, of string) {
	if n < most {
		c.Logf("tried with %d %s instead of %d: the store takes long", n, of, most)
	}
}

func (c *trial) release(lease core.Lease) {
	if err := lease.Release(c.ctx); err != nil {
		c.Errorf("Release of a held lease: %v", err)
	}
}

// listed expects Keys to yield all of so many records. If a store can't be given the
// first two counts of records in time, it isn't tried. It gets more time than other
// cases, because with fewer records no page is turned.
func listed(counts ...int) func(c *trial) {
	return func(c *trial) {
		a, b := c.pair()
		within := 3 * c.enough()
		var all []string
		for i, n := range counts {
			filled := c.fillUp(len(all), n, within, a, b)
			for k := len(all); k < filled; k++ {
				all = append(all, numbered(k))
			}
			c.wantKeys(either(a, b, i), slices.Clone(all)...)
			switch {
			case c.Failed():
				return
			case filled < n && i < 2:
				c.skip("no more than %d records could be saved in %v, and the case is about %d", filled, within, counts[1])
			case filled < n:
				c.logged(filled, n, "records")
				return
			}
		}
	}
}

// gathering is a meeting of a fixed number of goroutines.
type gathering struct {
	mu       sync.Mutex
	missing  int
	complete chan struct{}
	n        int
}

func newGathering(n int) *gathering {
	return &gathering{missing: n, n: n, complete: make(chan struct{})}
}

// wait returns how many have come once all have, or when ctx ends.
func (g *gathering) wait(ctx context.Context) int {
	g.mu.Lock()
	if g.missing--; g.missing == 0 {
		close(g.complete)
	}
	g.mu.Unlock()
	select {
	case <-g.complete:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.n - g.missing
}

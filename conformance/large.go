package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/graphtoken/graphtoken/core"
)

// The rules for small records hold for large ones, too. A backend, its client or its
// store may treat a value of more than 8 KiB, 64 KiB or 1 MiB in another way: as chunks,
// as a file, by another request.
func large() []testCase {
	return []testCase{
		{"overwrite", must("A large record can be stored, shortened, lengthened, deleted and stored again, and nothing of an earlier one remains."), 0,
			eachSize(func(c *trial, size int) {
				a, b := c.pair()
				c.save(a, "neighbour", text(0))
				for _, data := range [][]byte{big(size, 0), big(size/2, 1), text(2), big(size/2, 3), big(size-1, 4)} {
					c.save(a, key, data)
					c.wantRecord(a, key, data)
					c.wantRecord(b, key, data)
					a, b = b, a
				}
				if c.want.List {
					c.wantKeys(b, key, "neighbour")
				}
				c.delete(a, key)
				c.wantNone(a, key)
				c.wantNone(b, key)
				if c.want.List {
					c.wantKeys(a, "neighbour")
				}
				c.save(b, key, text(5))
				c.wantRecord(a, key, text(5))
				c.wantRecord(a, "neighbour", text(0))
			})},
		{"versions", must("Save compares the version of a large record as that of any other, and large records that differ in their last bytes have different versions."), detects,
			eachSize(func(c *trial, size int) {
				a, b := c.pair()
				first := c.replace(a, key, big(size, 1), core.Absent)
				refused := func(v core.Version, what string) {
					for _, handle := range []core.TokenBackend{a, b} {
						c.wantConflict(handle, v, what)
						_, err := handle.Save(c.ctx, key, core.Record{Data: big(size, 9), Version: v})
						c.wantErr(err, core.ErrConflict, "Save of %d bytes with %s", size, what)
					}
				}
				refused(core.Absent, "Absent, over a large record,")
				c.wantUntouched(b, first, big(size, 1))
				second := c.replace(b, key, big(size, 2), first)
				if second == first {
					c.Errorf("two records of %d bytes that differ in their last bytes have one version, %s", size, show(first))
				}
				refused(first, "the version before")
				refused("no-such-version", "a version nobody made up")
				c.wantUntouched(a, second, big(size, 2))
				c.delete(a, key)
				refused(second, "the version of a deleted record")
				c.wantNone(b, key)
				c.replace(b, key, big(size, 3), core.Absent)
				c.wantRecord(a, key, big(size, 3))
			})},
		{"slices", must("A large slice passed to Save is not retained, and one returned by Load or given to Refresh belongs to the caller."), 0,
			eachSize(func(c *trial, size int) {
				a, b := c.pair()
				data := big(size, 1)
				v := c.save(a, key, data)
				scribble(data)
				intact := func(after string) {
					for _, handle := range []core.TokenBackend{a, b} {
						rec := c.load(handle, key)
						if string(rec.Data) != string(big(size, 1)) {
							c.Errorf("%s reaches the store, or the next Load%s", after, difference(rec.Data, big(size, 1)))
						}
						scribble(rec.Data[:cap(rec.Data)])
					}
				}
				intact("what is written into the slice that was saved")
				intact("what is written into the slice that Load returned")
				if c.want.Coordinates {
					refused := errors.New("the provider said no")
					_, err := a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: v, LeaseTTL: holding, Refresh: func(_ context.Context, current core.Record) error {
						scribble(current.Data[:cap(current.Data)])
						return refused
					}})
					c.wantErr(err, refused, "ShouldRefresh whose Refresh failed")
					intact("what is written into the record that Refresh was given")
				}
			})},
		{"refresh", must("A large record is refreshed once per version, and Refresh gets the whole record."), coordinates,
			eachSize(func(c *trial, size int) {
				a, b := c.pair()
				seen := c.save(a, key, big(size, 1))
				runs := 0
				d, err := b.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
					runs++
					c.wantCurrent(current, big(size, 1), seen)
					return saveNext(ctx, b, current, big(size, 2))
				}})
				c.wantDecision(d, err, core.RefreshedHere, "the record is the one seen")
				c.wantRuns(runs, 1)
				c.wantRecord(a, key, big(size, 2))
				d, err = a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: c.mustNotRun()})
				c.wantDecision(d, err, core.RefreshedElsewhere, "it was refreshed before")
				c.wantFreed(b)
			})},
		{"leases", must("A lease of a large record's key changes nothing of the record, and the record's Save and Delete don't end the lease."), lease,
			eachSize(func(c *trial, size int) {
				a, b := c.pair()
				v := c.save(a, key, big(size, 1))
				lease := c.acquire(a, key, holding)
				c.wantUntouched(b, v, big(size, 1))
				if err := lease.Renew(c.ctx, holding); err != nil {
					c.Errorf("Renew: %v", err)
				}
				c.wantUntouched(b, v, big(size, 1))
				c.replace(b, key, big(size, 2), v)
				c.wantHeld(b, key)
				c.delete(b, key)
				c.wantHeld(b, key)
				v = c.replace(a, key, big(size, 3), c.absent())
				c.release(lease)
				c.wantUntouched(b, v, big(size, 3))
				c.wantFree(b, key)
			})},
		{"watch", must("A large record that is saved or deleted wakes the waiters."), watches | lease,
			eachSize(func(c *trial, size int) {
				a, b := c.pair()
				v := c.save(a, key, big(size, 1))
				lease := c.acquire(a, key, holding)
				waiting := []<-chan error{c.waiting(a, v), c.waiting(b, v)}
				c.wantAsleep(waiting)
				v = c.replace(a, key, big(size, 2), v)
				c.wantWoken(waiting[0], "the record was saved")
				c.wantWoken(waiting[1], "the record was saved")
				waiting = []<-chan error{c.waiting(a, v), c.waiting(b, v)}
				c.wantAsleep(waiting)
				c.delete(b, key)
				c.wantWoken(waiting[0], "the record was deleted")
				c.wantWoken(waiting[1], "the record was deleted")
				c.release(lease)
			})},
		{"refused", must("If a method begins with its context cancelled, or during an outage, it returns an error for a large record too, and changes nothing."), 0,
			eachSize(func(c *trial, size int) {
				a, b := c.pair()
				v := c.save(a, key, big(size, 1))
				attempts := func(ctx context.Context, want func(err error, format string, args ...any)) {
					for _, handle := range []core.TokenBackend{a, b} {
						_, err := handle.Load(ctx, key)
						want(err, "Load")
						_, err = handle.Check(ctx, key)
						want(err, "Check")
						want(handle.Delete(ctx, key), "Delete")
						for _, v := range []core.Version{core.AnyVersion, v} {
							_, err = handle.Save(ctx, key, core.Record{Data: big(size, 2), Version: v})
							want(err, "Save of %d bytes with version %s", size, show(v))
						}
						_, err = handle.Save(ctx, "new", core.Record{Data: big(size, 2), Version: c.absent()})
						want(err, "Save of %d bytes under a new key", size)
					}
				}
				cancelled, cancel := context.WithCancel(c.ctx)
				cancel()
				attempts(cancelled, func(err error, format string, args ...any) {
					c.wantErr(err, context.Canceled, format, args...)
				})
				if c.fail != nil {
					c.fail(-1)
					attempts(c.soon(), c.wantOutage)
					c.fail(0)
				}
				for _, handle := range []core.TokenBackend{a, b} {
					c.wantUntouched(handle, v, big(size, 1))
					c.wantNone(handle, "new")
				}
			})},
		{"damaged", must("A large record that is damaged is neither absent nor a valid record, and Save and Delete repair it."), corrupts,
			eachSize(func(c *trial, size int) {
				c.wantDamageNamed(func(n int) []byte { return big(size, n) })
			})},
		{"whole", must("A reader beside a writer of large records gets whole ones: the old one or the new one."), 0,
			func(c *trial) { c.wantWhole(200_000) }},
		{"read-concurrent", must("Load returns data and version of a large record that belong together, also while others write."), enforced,
			func(c *trial) {
				size := c.size(64<<10 + 1)
				c.readBesideWriters(func(n int) []byte { return big(size, n) })
			}},
		{"concurrent", must("When many save large records at the same time, over one version or over nothing, one succeeds and its record stays."), enforced,
			func(c *trial) {
				a, b := c.pair()
				size := c.size(64<<10 + 1)
				c.rounds(func(round int) {
					v := core.Absent
					for i := range 2 {
						v = c.oneWinner([]core.TokenBackend{a, b}, numbered(round), v, func(k int) []byte { return big(size, 1000*round+100*i+k) })
					}
				})
			}},
		{"errors", must("No error shows the data of a large record."), 0,
			func(c *trial) {
				size := c.size(64<<10 + 1)
				c.provoke(func(n int) []byte {
					data := secret(n)
					return append(data, big(max(size-len(data), 20), n)...)
				}, func(what string, err error) { c.wantNoSecret(what, err, true) })
			}},
	}
}

// eachSize runs a case for records that are a little larger than 8 KiB and 64 KiB, and
// for one of 1 MiB; if MaxSize is less, for records of MaxSize bytes.
func eachSize(f func(c *trial, size int)) func(c *trial) {
	return func(c *trial) {
		var tried []int
		for _, size := range []int{8<<10 + 1, 64<<10 + 1, 1 << 20} {
			if size = c.size(size); slices.Contains(tried, size) {
				continue
			}
			tried = append(tried, size)
			if f(c, size); c.Failed() || c.ctx.Err() != nil {
				c.Logf("the records have %d bytes", size)
				return
			}
			c.delete(c.open(), key)
		}
	}
}

// size returns that many bytes, or as many as the store can hold.
func (c *trial) size(n int) int {
	if c.want.MaxSize > 0 {
		n = min(n, c.want.MaxSize)
	}
	return n
}

// big returns a record of that size. Records of one size differ in their last bytes
// alone, and no two parts of one are alike.
func big(size, n int) []byte {
	tail := fmt.Appendf(nil, " record %8d", n)
	data := append(make([]byte, 0, size+len(tail)), letters()[:max(size-len(tail), 0)]...)
	data = append(data, tail...)
	return data[len(data)-size:]
}

// letters are the text of the largest record. They are letters because a limit may be
// counted after an encoding that makes other bytes longer.
var letters = sync.OnceValue(func() []byte {
	data := make([]byte, 1<<20)
	random := rand.New(rand.NewPCG(8, 1))
	for i := range data {
		data[i] = "abcdefghijklmnopqrstuvwxyz012345"[random.IntN(32)]
	}
	return data
})

package conformance

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func refresh() []testCase {
	return []testCase{
		{"here", must("If the record is still the one seen, Refresh runs once, under the lease, with that record, and the answer is RefreshedHere."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				runs := 0
				d, err := a.ShouldRefresh(c.ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
					runs++
					c.wantCurrent(current, text(1), seen)
					if c.want.Lease {
						c.wantHeld(b, key)
					}
					return saveNext(ctx, a, current, text(2))
				}})
				c.wantDecision(d, err, core.RefreshedHere, "the record is the one seen")
				c.wantRuns(runs, 1)
				c.wantRecord(b, key, text(2))
				c.wantFreed(b)
			}},
		{"elsewhere", must("If the record has changed since it was seen, Refresh doesn't run, and the answer is RefreshedElsewhere."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				c.save(b, key, text(2))
				for _, handle := range []core.TokenBackend{a, b} {
					d, err := handle.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: c.mustNotRun()})
					c.wantDecision(d, err, core.RefreshedElsewhere, "the record changed")
				}
				c.wantRecord(a, key, text(2))
				c.wantFreed(b)
			}},
		{"question", must("A nil Refresh only asks: the answer is RefreshNow if the record is still the one seen, RefreshedElsewhere if it changed, and no lease is kept."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				for _, handle := range []core.TokenBackend{a, b, a} {
					for _, v := range []core.Version{seen, core.AnyVersion} {
						d, err := handle.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: v, LeaseTTL: holding})
						c.wantDecision(d, err, core.RefreshNow, "it was asked only")
					}
				}
				if c.want.Lease {
					c.wantFree(b, key)
				}
				d, err := b.ShouldRefresh(c.soon(), "absent", core.RefreshRequest{Seen: core.Absent, LeaseTTL: holding})
				c.wantDecision(d, err, core.RefreshNow, "it was asked only, and nothing is stored")
				c.save(b, key, text(2))
				d, err = a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding})
				c.wantDecision(d, err, core.RefreshedElsewhere, "it was asked only, and the record changed")
				c.wantRecord(a, key, text(2))
				c.wantFreed(b)
			}},
		{"any", must("If Seen is AnyVersion, whatever is stored is refreshed."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				for i, handle := range []core.TokenBackend{a, b, a} {
					runs := 0
					d, err := handle.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: core.AnyVersion, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
						runs++
						c.wantCurrent(current, text(i+1), seen)
						return saveNext(ctx, handle, current, text(i+2))
					}})
					c.wantDecision(d, err, core.RefreshedHere, "Seen is AnyVersion")
					c.wantRuns(runs, 1)
					c.wantRecord(b, key, text(i+2))
					seen = c.load(b, key).Version
				}
				c.wantFreed(b)
			}},
		{"absent", must("An absent record can be refreshed like any other: if Seen is Absent, Refresh gets an empty record with the version Absent; with any other Seen, the record counts as changed."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				for _, seen := range []core.Version{core.Absent, core.AnyVersion} {
					runs := 0
					d, err := a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
						runs++
						if len(current.Data) != 0 || current.Version != core.Absent {
							c.Errorf("Refresh got %s with version %s, want no data and version Absent", brief(current.Data), show(current.Version))
						}
						_, err := a.Save(ctx, key, core.Record{Data: text(1), Version: c.absent()})
						return err
					}})
					c.wantDecision(d, err, core.RefreshedHere, "nothing is stored, and Seen is "+show(seen))
					c.wantRuns(runs, 1)
					c.wantRecord(b, key, text(1))
					d, err = b.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: core.Absent, LeaseTTL: holding, Refresh: c.mustNotRun()})
					c.wantDecision(d, err, core.RefreshedElsewhere, "nothing was stored, and now is")
					v := c.load(a, key).Version
					c.delete(b, key)
					d, err = a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: v, LeaseTTL: holding, Refresh: c.mustNotRun()})
					c.wantDecision(d, err, core.RefreshedElsewhere, "the record is deleted")
					c.wantNone(b, key)
				}
				c.wantFreed(b)
			}},
		{"not-needed", must("ErrNotNeeded from Refresh is no error: the answer is RefreshedElsewhere."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				for _, notNeeded := range []error{core.ErrNotNeeded, fmt.Errorf("the token is good: %w", core.ErrNotNeeded)} {
					d, err := a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(context.Context, core.Record) error { return notNeeded }})
					c.wantDecision(d, err, core.RefreshedElsewhere, "Refresh returned ErrNotNeeded")
					c.wantFreed(b)
				}
				c.wantRecord(b, key, text(1))
			}},
		{"failure", must("An error of Refresh is returned unchanged, and Refresh isn't run again; the lease becomes free, so that the next refresh runs at once."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				refused := errors.New("the provider said no")
				for i, handle := range []core.TokenBackend{a, b, b} {
					_, err := handle.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(context.Context, core.Record) error { return fmt.Errorf("attempt %d: %w", i, refused) }})
					c.wantErr(err, refused, "ShouldRefresh whose Refresh failed")
				}
				for _, failure := range []error{core.ErrConflict, core.ErrNotFound, core.ErrLeaseHeld, core.ErrLeaseLost, core.ErrReauthRequired, core.ErrRefreshedNotSaved, context.Canceled, context.DeadlineExceeded} {
					runs := 0
					_, err := a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(context.Context, core.Record) error {
						runs++
						return failure
					}})
					c.wantErr(err, failure, "ShouldRefresh whose Refresh failed")
					c.wantRuns(runs, 1)
				}
				c.wantRecord(b, key, text(1))
				c.wantRefresh(a, seen, text(2))
				c.wantFreed(b)
			}},
		{"panic", must("A Refresh that panics counts as failed and frees the lease too: the next refresh runs at once."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				func() {
					defer func() { _ = recover() }()
					d, err := a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(context.Context, core.Record) error { panic("in the middle of a refresh") }})
					if err == nil {
						c.Errorf("ShouldRefresh whose Refresh panicked = %v, nil; want the panic, or an error", d)
					}
				}()
				c.wantRefresh(b, seen, text(2))
				c.wantFreed(a)
			}},
		{"once", must("However many ask at the same time, through however many handles, Refresh runs once per version: one caller gets RefreshedHere, the others RefreshedElsewhere."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				for i := range 2 {
					c.wantOnce(a, b, i, 100, 20*time.Millisecond)
				}
			}},
		{"once-quick", must("Refresh runs once per version also if it is very quick: the next holder of the lease finds the record changed."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				c.rounds(func(round int) { c.wantOnce(a, b, round, 6, 50*time.Microsecond) })
			}},
		{"waiters", must("A waiter for another's refresh returns promptly once it is saved, even before its Refresh has returned."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				const waiters = 4
				returned := make(chan struct{})
				d, err := a.ShouldRefresh(c.ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
					go c.guard(func() {
						defer close(returned)
						c.together(waiters, func(i int) {
							d, err := []core.TokenBackend{a, b}[i%2].ShouldRefresh(c.ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: c.mustNotRun()})
							c.wantDecision(d, err, core.RefreshedElsewhere, "another's refresh was saved")
						})
					})
					select { // most of them wait by then; the others find the record changed
					case <-returned:
						c.Errorf("those who wait returned before anything was saved")
					case <-time.After(50 * time.Millisecond):
					}
					if err := saveNext(ctx, a, current, text(2)); err != nil {
						return err
					}
					select {
					case <-returned:
					case <-time.After(c.patience):
						c.Errorf("those who wait were still waiting %v after the save", c.patience)
					}
					return nil
				}})
				c.wantDecision(d, err, core.RefreshedHere, "the record is the one seen")
				select {
				case <-returned:
				case <-c.ctx.Done():
				}
			}},
		{"waiter-takes-over", must("If a refresh fails, a waiter for it runs its own Refresh next."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				begun, done := make(chan struct{}), make(chan struct{})
				refused := errors.New("the provider said no")
				go c.guard(func() {
					defer close(done)
					<-begun
					c.wantRefresh(b, seen, text(2))
				})
				_, err := a.ShouldRefresh(c.ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(context.Context, core.Record) error {
					close(begun)
					time.Sleep(30 * time.Millisecond) // so that the other waits
					return refused
				}})
				c.wantErr(err, refused, "ShouldRefresh whose Refresh failed")
				select {
				case <-done:
				case <-c.ctx.Done():
				}
				c.wantRecord(a, key, text(2))
				c.wantFreed(b)
			}},
		{"keys-apart", must("A refresh of one key makes no other key wait, not even one that looks like it."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				stop := c.refreshing(a, key, seen)
				for _, another := range []string{"other", strings.ToUpper(key), key + ".lock"} {
					other := c.save(a, another, text(1))
					for i, handle := range []core.TokenBackend{a, b} {
						d, err := handle.ShouldRefresh(c.soon(), another, core.RefreshRequest{Seen: other, LeaseTTL: holding, Refresh: func(ctx context.Context, _ core.Record) error {
							_, err := handle.Save(ctx, another, core.Record{Data: text(2 + i), Version: core.AnyVersion})
							return err
						}})
						c.wantDecision(d, err, core.RefreshedHere, "only another key is being refreshed")
						other = c.load(b, another).Version
					}
				}
				stop()
			}},
		{"detached", must("Once Refresh runs, cancelling the caller's context cancels neither Refresh nor its Save: the provider's answer is not lost."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				ctx, cancel := context.WithTimeout(c.ctx, time.Hour)
				defer cancel()
				finished := make(chan struct{})
				d, err := a.ShouldRefresh(ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
					defer close(finished)
					cancel()
					select {
					case <-ctx.Done():
						c.Errorf("Refresh's context ends with its caller's: %v", ctx.Err())
					case <-time.After(20 * time.Millisecond):
					}
					if _, ok := ctx.Deadline(); ok {
						c.Errorf("Refresh's context has a deadline, its caller's or another")
					}
					return saveNext(ctx, a, current, text(2))
				}})
				if err == nil || !errors.Is(err, context.Canceled) {
					c.wantDecision(d, err, core.RefreshedHere, "Refresh had begun when the caller's context was cancelled")
				}
				select {
				case <-finished:
				case <-c.soon().Done():
					c.Fatalf("Refresh did not come to its end")
				}
				c.wantRecord(b, key, text(2))
				c.wantFreed(b)
			}},
		{"values", must("The context of Refresh has the values of its caller's context: a trace, a tenant."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				type mark struct{}
				seen := c.save(a, key, text(1))
				for i, handle := range []core.TokenBackend{a, b} {
					ctx := context.WithValue(c.ctx, mark{}, i+1)
					d, err := handle.ShouldRefresh(ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
						if got := ctx.Value(mark{}); got != i+1 {
							c.Errorf("a value that the caller's context has is %v in Refresh's, want %d", got, i+1)
						}
						return saveNext(ctx, handle, current, text(i+2))
					}})
					c.wantDecision(d, err, core.RefreshedHere, "the record is the one seen")
					seen = c.load(handle, key).Version
				}
			}},
		{"again", must("Refresh never runs twice for one version: a later caller with the same Seen finds the record changed."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				c.wantRefresh(a, seen, text(2))
				for _, handle := range []core.TokenBackend{a, b, c.open()} {
					d, err := handle.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: c.mustNotRun()})
					c.wantDecision(d, err, core.RefreshedElsewhere, "it was refreshed before")
				}
				c.wantRecord(b, key, text(2))
				// The new version is refreshed in its turn.
				c.wantRefresh(b, c.load(b, key).Version, text(3))
				c.wantRecord(a, key, text(3))
			}},
		{"current-slice", must("The record that Refresh gets belongs to it: changes to its data reach no store."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				refused := errors.New("the provider said no")
				_, err := a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(_ context.Context, current core.Record) error {
					scribble(current.Data[:cap(current.Data)])
					return refused
				}})
				c.wantErr(err, refused, "ShouldRefresh whose Refresh failed")
				c.wantRecord(a, key, text(1))
				c.wantRecord(b, key, text(1))
			}},
		{"current", must("Refresh gets the record as it is under the lease, not as it was before the wait for the lease."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				done := make(chan struct{})
				var next core.Version
				d, err := a.ShouldRefresh(c.ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
					go c.guard(func() {
						defer close(done)
						_, err := b.ShouldRefresh(c.ctx, key, core.RefreshRequest{Seen: core.AnyVersion, LeaseTTL: holding, Refresh: func(_ context.Context, current core.Record) error {
							c.wantCurrent(current, text(2), next)
							return core.ErrNotNeeded
						}})
						if err != nil {
							c.Errorf("ShouldRefresh after another's: %v", err)
						}
					})
					time.Sleep(30 * time.Millisecond) // so that the other waits
					var err error
					next, err = a.Save(ctx, key, core.Record{Data: text(2), Version: current.Version})
					return err
				}})
				c.wantDecision(d, err, core.RefreshedHere, "the record is the one seen")
				select {
				case <-done:
				case <-c.ctx.Done():
				}
			}},
		{"lease-ttl", must("The lease of a Refresh lasts for LeaseTTL: when that has passed without a Renew, another process takes over; the Refresh that lost the lease still saves, and has succeeded."), coordinates | lease | expires,
			func(c *trial) {
				a, b := c.pair()
				if c.advance == nil {
					c.Logf("not tried: the harness's Env is no Advancer")
					return
				}
				seen := c.save(a, key, text(1))
				d, err := a.ShouldRefresh(c.ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
					c.letExpire(holding)
					c.takeOver(b, key, holding)
					return saveNext(ctx, a, current, text(2))
				}})
				c.wantDecision(d, err, core.RefreshedHere, "Refresh saved, though it had lost the lease")
				c.wantRecord(b, key, text(2))
			}},
		{"default-ttl", must("A LeaseTTL of zero means a default that is longer than the provider's time-out, and not a lease that ends at once."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				d, err := a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, Refresh: func(ctx context.Context, current core.Record) error {
					if c.want.LeaseExpires && c.advance != nil {
						c.advance(core.DefaultRefreshTimeout)
					}
					if c.want.Lease {
						c.wantHeld(b, key)
					}
					return saveNext(ctx, a, current, text(2))
				}})
				c.wantDecision(d, err, core.RefreshedHere, "the record is the one seen")
				c.wantFreed(b)
			}},
		{"vanished", must("If a holder vanishes, another takes over when the lease expires: a waiter runs its own Refresh."), coordinates | lease | expires,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				c.acquire(a, key, c.leaseTTL)
				c.letExpire(c.leaseTTL)
				c.wantRefresh(b, seen, text(2))
				c.wantRecord(a, key, text(2))
			}},
		{"renewed", must("A Refresh that takes longer than its lease's ttl keeps the lease, which is renewed meanwhile."), coordinates | lease | expires,
			func(c *trial) {
				a, b := c.pair()
				c.save(a, key, text(0))
				// A process or a store that is held up may lose a lease without a fault:
				// then a longer lease is tried.
				for ttl := c.leaseTTL; ; ttl *= 2 {
					kept, steady := c.refreshLongerThan(ttl, a, b)
					if kept {
						return
					}
					if steady || ttl > 5*time.Second {
						c.Errorf("the lease of %v was free while Refresh ran", ttl)
						return
					}
				}
			}},
		{"lease-held", must("ShouldRefresh respects the lease: while another holds it, Refresh doesn't run, and once the holder has saved, the answer is RefreshedElsewhere."), coordinates | lease,
			func(c *trial) {
				a, b := c.pair()
				seen := c.save(a, key, text(1))
				lease := c.acquire(a, key, holding)
				ctx, cancel := context.WithTimeout(c.ctx, 100*time.Millisecond)
				defer cancel()
				if d, err := b.ShouldRefresh(ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: c.mustNotRun()}); err == nil {
					c.Errorf("ShouldRefresh = %v, nil while another held the lease and had not saved", d)
				}
				var waiting sync.WaitGroup
				waiting.Go(func() {
					c.guard(func() {
						d, err := b.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: c.mustNotRun()})
						c.wantDecision(d, err, core.RefreshedElsewhere, "the lease's holder saved")
					})
				})
				c.replace(a, key, text(2), seen)
				waiting.Wait()
				if err := lease.Release(c.ctx); err != nil {
					c.Errorf("Release: %v", err)
				}
			}},
		{"uncoordinated", must("A backend that doesn't coordinate answers RefreshNow, and leaves the refresh to its caller."), 0,
			func(c *trial) {
				if c.want.Coordinates {
					c.Logf("not tried: the backend claims Coordinates")
					return
				}
				a := c.open()
				seen := c.save(a, key, text(1))
				for _, req := range []core.RefreshRequest{
					{Seen: seen},
					{Seen: seen, Refresh: c.mustNotRun()},
					{Seen: core.AnyVersion, Refresh: c.mustNotRun()},
				} {
					d, err := a.ShouldRefresh(c.soon(), key, req)
					c.wantDecision(d, err, core.RefreshNow, "the backend does not coordinate")
				}
				c.wantRecord(a, key, text(1))
			}},
	}
}

// refreshLongerThan runs a Refresh that takes longer than two ttls. It returns whether
// the lease was kept all the time, and whether nothing was held up meanwhile.
func (c *trial) refreshLongerThan(ttl time.Duration, a, b core.TokenBackend) (kept, steady bool) {
	kept, steady = true, true
	_, err := a.ShouldRefresh(c.ctx, key, core.RefreshRequest{Seen: core.AnyVersion, LeaseTTL: ttl, Refresh: func(context.Context, core.Record) error {
		const looks = 24
		for range looks {
			begun := time.Now()
			time.Sleep(ttl / 10)
			if c.advance != nil {
				c.advance(ttl / 20) // in small steps, so that the lease can be renewed in time
			}
			lease, err := c.leaser(b).Acquire(c.ctx, key, ttl)
			if time.Since(begun) > ttl/4 {
				steady = false
			}
			if err == nil {
				kept = false
				_ = c.held(lease).Release(c.ctx)
				break
			}
			if !errors.Is(err, core.ErrLeaseHeld) {
				return err
			}
		}
		return core.ErrNotNeeded
	}})
	if err != nil {
		c.Errorf("ShouldRefresh whose Refresh takes long: %v", err)
	}
	return kept, steady
}

// saveNext is what a Refresh does after the provider's answer.
func saveNext(ctx context.Context, b core.TokenBackend, current core.Record, next []byte) error {
	_, err := b.Save(unsteady{ctx}, key, core.Record{Data: next, Version: current.Version})
	return err
}

// wantRefresh expects that a refresh of the version seen runs promptly.
func (c *trial) wantRefresh(b core.TokenBackend, seen core.Version, next []byte) {
	runs := 0
	d, err := b.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
		runs++
		return saveNext(ctx, b, current, next)
	}})
	c.wantDecision(d, err, core.RefreshedHere, "the record is the one seen, and nobody refreshes it")
	c.wantRuns(runs, 1)
	c.wantRecord(b, key, next)
}

// wantOnce lets many callers ask for the refresh of one version at the same time.
func (c *trial) wantOnce(a, b core.TokenBackend, round, many int, provider time.Duration) {
	seen := c.save(a, key, text(2*round))
	var runs, here, elsewhere atomic.Int32
	c.together(many, func(i int) {
		handle := []core.TokenBackend{a, b}[i%2]
		d, err := handle.ShouldRefresh(c.ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
			runs.Add(1)
			c.wantCurrent(current, text(2*round), seen)
			time.Sleep(provider)
			return saveNext(ctx, handle, current, text(2*round+1))
		}})
		switch {
		case err != nil:
			c.Errorf("ShouldRefresh beside others: %v", err)
		case d == core.RefreshedHere:
			here.Add(1)
		case d == core.RefreshedElsewhere:
			elsewhere.Add(1)
			if now, err := handle.Load(c.ctx, key); err != nil || now.Version == seen {
				c.Errorf("RefreshedElsewhere, but Load = version %s, %v; %s was seen", show(now.Version), err, show(seen))
			}
		default:
			c.Errorf("ShouldRefresh = %v", d)
		}
	})
	if runs.Load() != 1 || here.Load() != 1 || int(elsewhere.Load()) != many-1 {
		c.Errorf("Refresh ran %d times; %d were answered RefreshedHere and %d RefreshedElsewhere; want 1, 1 and %d", runs.Load(), here.Load(), elsewhere.Load(), many-1)
	}
	c.wantRecord(b, key, text(2*round+1))
	c.wantFreed(b)
}

func (c *trial) wantDecision(d core.RefreshDecision, err error, want core.RefreshDecision, because string) {
	if err != nil || d != want {
		c.Errorf("ShouldRefresh = %v, %v; want %v, since %s", d, err, want, because)
	}
}

func (c *trial) wantRuns(runs, want int) {
	if runs != want {
		c.Errorf("Refresh ran %d times, want %d", runs, want)
	}
}

func (c *trial) wantCurrent(current core.Record, data []byte, v core.Version) {
	if string(current.Data) != string(data) || current.Version != v {
		c.Errorf("Refresh got %s with version %s, want %s with version %s", brief(current.Data), show(current.Version), brief(data), show(v))
	}
}

// wantFreed expects that no lease of the earlier refreshes is left.
func (c *trial) wantFreed(b core.TokenBackend) {
	if c.want.Lease {
		c.wantFree(b, key)
	}
}

func (c *trial) mustNotRun() func(context.Context, core.Record) error {
	return func(context.Context, core.Record) error {
		c.Errorf("Refresh runs, and must not")
		return errors.New("not in this case")
	}
}

// refreshing begins a refresh, and returns when its Refresh runs. stop ends it and waits
// for its end.
func (c *trial) refreshing(b core.TokenBackend, key string, seen core.Version) (stop func()) {
	begun, release, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go c.guard(func() {
		defer close(done)
		d, err := b.ShouldRefresh(c.ctx, key, core.RefreshRequest{Seen: seen, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
			close(begun)
			select {
			case <-release:
			case <-c.ctx.Done():
			}
			_, err := b.Save(ctx, key, core.Record{Data: text(100), Version: current.Version})
			return err
		}})
		c.wantDecision(d, err, core.RefreshedHere, "the record is the one seen")
	})
	stop = sync.OnceFunc(func() {
		close(release)
		<-done
	})
	c.later(stop)
	select {
	case <-begun:
	case <-done:
		c.Fatalf("ShouldRefresh came to its end without having run Refresh")
	case <-c.ctx.Done():
		c.Fatalf("Refresh did not begin: %v", c.ctx.Err())
	}
	return stop
}

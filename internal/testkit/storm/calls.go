package storm

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// BenchCalls makes the calls of one refresh for each of FewUsers, all at once, without a
// core.Store: load, acquire, load, the provider, save, release. Its ratio is what the
// store and this machine give, beside that of a storm.
func (c Clients) BenchCalls(b *testing.B) {
	o := Options{Users: FewUsers}
	var ratio float64
	for b.Loop() {
		ratio += float64(calls(b, o, c(b, false)())) / float64(Ideal(o.Users))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ratio/float64(b.N), "×ideal")
}

func calls(b *testing.B, o Options, store core.TokenBackend) time.Duration {
	leaser, ok := core.As[core.Leaser](store)
	if !ok {
		b.Fatal("the store has no leases")
	}
	p := NewProvider()
	SignIn(b, p, store, o)
	start := make(chan struct{})
	var all sync.WaitGroup
	for _, user := range order(o.Users, false, 0) {
		all.Go(func() {
			<-start
			if err := refreshOnce(b.Context(), store, leaser, p, user); err != nil {
				b.Error(err)
			}
		})
	}
	began := time.Now()
	close(start)
	all.Wait()
	return time.Since(began)
}

func refreshOnce(ctx context.Context, store core.TokenBackend, leaser core.Leaser, p *Provider, user string) error {
	if _, err := store.Load(ctx, user); err != nil {
		return err
	}
	lease, err := leaser.Acquire(ctx, user, core.DefaultLeaseTTL)
	if err != nil {
		return err
	}
	rec, err := store.Load(ctx, user)
	if err != nil {
		return err
	}
	p.grant("refresh-" + user + "-0")
	if _, err := store.Save(ctx, user, rec); err != nil {
		return err
	}
	return lease.Release(ctx)
}

package redis_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

// slow holds up what reads a record, and counts how many such commands are under way.
type slow struct {
	underWay, most atomic.Int64
	open           chan struct{} // closed to let them go
}

func (s *slow) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (s *slow) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func (s *slow) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if cmd.Name() == "hgetall" {
			n := s.underWay.Add(1)
			defer s.underWay.Add(-1)
			for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
			}
			<-s.open
		}
		return next(ctx, cmd)
	}
}

func TestAHolderFindsAConnectionHoweverManyReadThroughTheClient(t *testing.T) {
	for connections, readers := range map[int]int64{20: 15, 4: 3} {
		server := redistest.Start(t)
		client := goredis.NewClient(&goredis.Options{Addr: server.Addr, PoolSize: connections})
		defer client.Close()
		s := &slow{open: make(chan struct{})}
		client.AddHook(s)
		holder := on(t, client)
		lease, err := holder.Acquire(t.Context(), "k", core.DefaultLeaseTTL)
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for range 4 {
			b := on(t, client) // of another store in the process
			for range connections {
				all.Go(func() {
					if _, err := b.Load(t.Context(), "k"); err != nil {
						t.Error(err)
					}
				})
			}
		}
		testkit.Until(t, "so many read as may", func() bool { return s.underWay.Load() == readers })
		save(t, holder, "k", "1", core.Absent)
		if err := lease.Renew(t.Context(), core.DefaultLeaseTTL); err != nil {
			t.Error(err)
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
		close(s.open)
		all.Wait()
		if most := s.most.Load(); most > readers {
			t.Errorf("%d read at one time through a client of %d connections, want %d at most", most, connections, readers)
		}
	}
}

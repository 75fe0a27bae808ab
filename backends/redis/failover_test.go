package redis_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

// amid has eight share a record while something happens to its server. They
// may get errors; what they get without one must be true. happen can
// call work, which returns after 50 more answers.
func amid(t *testing.T, connect func() goredis.UniversalClient, happen func(work func())) {
	const size = 12 << 10 // a large one
	record := func(n int64) string { return fmt.Sprint(n, " ", strings.Repeat("x", size), " ", n) }
	number := func(rec core.Record) int64 {
		var n, again int64
		var filling string
		if _, err := fmt.Sscan(string(rec.Data), &n, &filling, &again); err != nil || n != again || len(filling) != size {
			t.Errorf("a torn record of %d bytes", len(rec.Data))
		}
		return n
	}
	first := connect()
	defer first.Close()
	save(t, on(t, first), "k", record(0), core.AnyVersion)

	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var over atomic.Bool
	var answers, outages, refreshes, backwards atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		client := connect()
		defer client.Close()
		b := on(t, client)
		all.Go(func() {
			// An outage is the only excuse.
			fine := func(op string, err error) bool {
				for _, wrong := range []error{core.ErrNotFound, core.ErrCorrupt, core.ErrReadOnly, context.DeadlineExceeded} {
					if errors.Is(err, wrong) {
						t.Errorf("%s: %v", op, err)
						return false
					}
				}
				if err != nil {
					outages.Add(1)
				}
				return err == nil
			}
			last := int64(0)
			for after := 0; after < 20 && ctx.Err() == nil; {
				rec, err := b.Load(ctx, "k")
				if !fine("Load", err) {
					continue
				}
				if n := number(rec); n < last {
					backwards.Add(1) // the new master lacks the last write
				} else {
					last = n
				}
				if there, err := b.Check(ctx, "k"); fine("Check", err) && !there {
					t.Error("Check says that the record is absent")
				}
				_, err = b.ShouldRefresh(ctx, "k", core.RefreshRequest{
					Seen:     rec.Version,
					LeaseTTL: lease,
					Refresh: func(ctx context.Context, current core.Record) error {
						next := number(current) + 1
						_, err := b.Save(ctx, "k", core.Record{Data: []byte(record(next)), Version: current.Version})
						if err == nil {
							refreshes.Add(1)
						}
						if errors.Is(err, core.ErrConflict) {
							return core.ErrNotNeeded // the lease was lost with the master
						}
						return err
					},
				})
				if fine("ShouldRefresh", err) {
					answers.Add(1)
					if over.Load() {
						after++
					}
				}
			}
		})
	}
	work := func() {
		for enough := answers.Load() + 50; answers.Load() < enough && ctx.Err() == nil; {
			time.Sleep(time.Millisecond)
		}
	}
	work()
	happen(work)
	over.Store(true)
	all.Wait()
	if ctx.Err() != nil {
		t.Error("not everybody went on")
	}
	fresh := connect()
	defer fresh.Close()
	rec, err := on(t, fresh).Load(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d answers, %d errors; %d refreshes saved, %d of them lost with the old master (%d readers noticed)",
		answers.Load(), outages.Load(), refreshes.Load(), refreshes.Load()-number(rec), backwards.Load())
}

// A replica may be behind its master. A refused write must show.
func TestAClientThatReadsFromAReplicaIsRefused(t *testing.T) {
	master := redistest.Start(t)
	host, port, _ := strings.Cut(master.Addr, ":")
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	b, _ := open(t, replica.Addr)
	_, saved := b.Save(t.Context(), "k", core.Record{Data: []byte("1"), Version: core.Absent})
	_, acquired := b.Acquire(t.Context(), "k", time.Hour)
	_, decided := b.ShouldRefresh(t.Context(), "k", core.RefreshRequest{
		Seen:    core.AnyVersion,
		Refresh: func(context.Context, core.Record) error { t.Error("a refresh that can't be saved"); return nil },
	})
	for op, err := range map[string]error{"Save": saved, "Acquire": acquired, "ShouldRefresh": decided, "Ping": b.Ping(t.Context())} {
		var reply goredis.Error
		if !errors.As(err, &reply) || !goredis.IsReadOnlyError(reply) {
			t.Errorf("%s = %v, want READONLY", op, err)
		}
	}
}

func TestAServerThatIsLoadingIsNotTakenForEmpty(t *testing.T) {
	// The server reads the file that its stop wrote, key by key, and answers in between.
	server := redistest.Start(t, "--appendonly", "no", "--save", "3600 1",
		"--key-load-delay", "5000", "--loading-process-events-interval-bytes", "1024")
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, MaxRetries: -1})
	defer client.Close()
	b := on(t, client)
	for i := range 200 {
		save(t, b, fmt.Sprint("k", i), strings.Repeat("x", 1024), core.Absent)
	}
	server.Stop(t)
	var loading int
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		for t.Context().Err() == nil {
			rec, err := b.Load(t.Context(), "k1")
			there, checked := b.Check(t.Context(), "k1")
			_, saved := b.Save(t.Context(), "k1", core.Record{Data: []byte("2"), Version: core.Absent})
			switch {
			case checked == nil && !there:
				t.Error("Check says that the record is absent")
			case saved == nil:
				t.Error("Save with Absent overwrites the record")
			}
			for _, err := range []error{err, checked, saved} {
				if errors.Is(err, core.ErrNotFound) || errors.Is(err, core.ErrCorrupt) {
					t.Error(err)
				}
				if reply := goredis.Error(nil); errors.As(err, &reply) && goredis.IsLoadingError(reply) {
					loading++
				}
			}
			if err == nil {
				if len(rec.Data) != 1024 {
					t.Errorf("Load = %d bytes", len(rec.Data))
				}
				return
			}
		}
	}()
	server.Restart(t)
	<-asked
	if loading == 0 {
		t.Error("the server never said LOADING: the test proves nothing")
	}
	t.Logf("LOADING was answered %d times", loading)
}

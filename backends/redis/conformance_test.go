package redis_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
)

func TestConformanceInProcess(t *testing.T) {
	t.Parallel()
	harness := conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			server := miniredis.NewMiniRedis()
			if err := server.Start(); err != nil {
				t.Fatalf("%v", err)
			}
			t.Cleanup(server.Close)
			return advanced{newStore(t, func() goredis.UniversalClient {
				return goredis.NewClient(&goredis.Options{Addr: server.Addr()})
			}), server}
		},
		Want: everything,
	}
	conformance.Run(t, harness)
}

// advanced is a store whose clock goes when it is told.
type advanced struct {
	*store
	server *miniredis.Miniredis
}

func (a advanced) Advance(d time.Duration) { a.server.FastForward(d) }

var everything = conformance.Capabilities{
	CAS:          conformance.CASEnforced,
	Coordinates:  true,
	Lease:        true,
	LeaseExpires: true,
	Watch:        true,
	List:         true,
	Ping:         true,
}

// conform runs the suite. Where there is a failover, it comes in the middle of
// one case: of four writers, between two of their commands.
func conform(t *testing.T, connect func() goredis.UniversalClient, failover func(record string)) {
	const straddling = "/versions/no-lost-update"
	var happened atomic.Bool
	conformance.Run(t, conformance.Harness{
		New: func(ct conformance.T) conformance.Env {
			s := newStore(ct, connect)
			if failover != nil && strings.HasSuffix(ct.Name(), straddling) {
				s.interlude.after(10, func() {
					failover(s.record("o365_token.txt"))
					happened.Store(true)
				})
			}
			return s
		},
		Want: everything,
	})
	if failover != nil && !happened.Load() {
		t.Errorf("there was no failover: *%s didn't run", straddling)
	}
}

// store is a prefix nobody else uses, on a server that many use.
type store struct {
	connect   func() goredis.UniversalClient
	prefix    string
	behind    goredis.UniversalClient // for what is done behind the backend's back
	failing   atomic.Int64
	interlude interlude
}

func newStore(t conformance.T, connect func() goredis.UniversalClient) *store {
	s := &store{connect: connect, prefix: rand.Text() + "*[x]:", behind: connect()}
	t.Cleanup(func() { s.behind.Close() })
	return s
}

func (s *store) Open(t conformance.T) core.TokenBackend {
	client := s.connect()
	t.Cleanup(func() { client.Close() })
	if cluster, ok := client.(*goredis.ClusterClient); ok {
		cluster.OnNewNode(func(node *goredis.Client) { node.AddHook(outage{&s.failing}) })
	} else {
		client.AddHook(outage{&s.failing})
	}
	client.AddHook(&s.interlude)
	b, err := redis.New(client, redis.Options{Prefix: s.prefix})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func (s *store) record(key string) string { return s.prefix + "{" + key + "}" }

func (s *store) Raw(key string) ([]byte, error) {
	version, err := s.behind.HGet(context.Background(), s.record(key), "version").Result()
	if err == nil {
		return s.behind.HGet(context.Background(), s.record(key), "data:"+version).Bytes()
	}
	if errors.Is(err, goredis.Nil) {
		err = nil
	}
	return nil, err
}

func (s *store) Corrupt(key string) error {
	return s.behind.HDel(context.Background(), s.record(key), "version").Err()
}

func (s *store) Fail(n int) { s.failing.Store(int64(n)) }

// outage fails as many commands as it is told.
type outage struct{ left *atomic.Int64 }

var errOutage = errors.New("an outage for the test")

func (o outage) fails() bool {
	for {
		switch n := o.left.Load(); {
		case n < 0:
			return true
		case n == 0:
			return false
		case o.left.CompareAndSwap(n, n-1):
			return true
		}
	}
}

func (o outage) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (o outage) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if o.fails() {
			cmd.SetErr(errOutage)
			return errOutage
		}
		return next(ctx, cmd)
	}
}

func (o outage) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		if o.fails() {
			for _, cmd := range cmds {
				cmd.SetErr(errOutage)
			}
			return errOutage
		}
		return next(ctx, cmds)
	}
}

// interlude holds up commands while something happens between two of them; not
// pipelines, with which connections begin.
type interlude struct {
	commands sync.RWMutex // held for reading by each that is under way
	left     atomic.Int64
	happen   func()
}

func (i *interlude) after(commands int64, happen func()) {
	i.left.Store(commands)
	i.happen = happen
}

func (i *interlude) alone(happen func()) {
	i.commands.Lock()
	defer i.commands.Unlock()
	happen()
}

func (i *interlude) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (i *interlude) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if name := cmd.Name(); name == "hello" || name == "client" {
			return next(ctx, cmd) // of a connection that a command begins
		}
		if i.happen != nil && i.left.Add(-1) == 0 {
			i.alone(i.happen)
		}
		i.commands.RLock()
		defer i.commands.RUnlock()
		return next(ctx, cmd)
	}
}

func (i *interlude) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

package redis_test

import (
	"testing"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
)

var everything = conformance.Capabilities{
	CAS: conformance.CASEnforced, Coordinates: true, Lease: true, LeaseExpires: true, Watch: true, List: true, Ping: true,
}

func TestConformanceInProcess(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			server := miniredis.NewMiniRedis()
			if err := server.Start(); err != nil {
				t.Fatalf("%v", err)
			}
			server.ClockTTL(true)
			t.Cleanup(server.Close)
			return &inProcess{server}
		},
		Want: everything,
	})
}

// inProcess is a miniredis.
type inProcess struct{ server *miniredis.Miniredis }

func (p *inProcess) Open(t conformance.T) core.TokenBackend {
	client := goredis.NewClient(&goredis.Options{Addr: p.server.Addr(), MaxRetries: -1})
	t.Cleanup(func() { client.Close() })
	b, err := redis.New(client, redis.Options{Prefix: "test:"})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func (p *inProcess) Corrupt(key string) { p.server.HSet("test:{"+key+"}", "data", "") }

func (p *inProcess) Raw(key string) []byte { return []byte(p.server.HGet("test:{"+key+"}", "data")) }

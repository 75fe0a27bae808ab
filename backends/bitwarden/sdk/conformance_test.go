//go:build cgo

package sdk_test

import (
	"crypto/rand"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

var claims = conformance.Capabilities{CAS: conformance.CASDetects, List: true, Ping: true, MaxSize: 25_000}

func TestConformance(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		New:  func(t conformance.T) conformance.Env { return newStore(t) },
		Want: claims,
	})
}

func TestConformanceWithLeasesInRedis(t *testing.T) {
	server := redistest.Start(t)
	want := claims
	want.Coordinates, want.Lease, want.LeaseExpires = true, true, true
	conformance.Run(t, conformance.Harness{
		New: func(t conformance.T) conformance.Env {
			return leased{store: newStore(t), addr: server.Addr, prefix: rand.Text() + ":"}
		},
		Want: want,
	})
}

// store is a server of its own.
type store struct{ bitwardentest.Records }

func newStore(t conformance.T) store {
	return store{bitwardentest.Records{Server: bitwardentest.Start(t, bitwardentest.Options{})}}
}

func (s store) Open(t conformance.T) core.TokenBackend {
	return newBackend(t, s.Server, login(t, s.Server, ""))
}

// leased is a store whose backends coordinate in Redis.
type leased struct {
	store
	addr, prefix string
}

func (s leased) Open(t conformance.T) core.TokenBackend {
	client := goredis.NewClient(&goredis.Options{Addr: s.addr})
	t.Cleanup(func() { client.Close() })
	leases, err := redis.New(client, redis.Options{Prefix: s.prefix})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return core.WithLeaser(s.store.Open(t), leases)
}

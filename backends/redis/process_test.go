//go:build unix

package redis_test

import (
	"os"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/crew"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

// where is how workers reach a store.
type where struct {
	Addrs      []string
	Cluster    bool
	MasterName string // Addrs are Sentinels, which know it by this name
}

func TestMain(m *testing.M) {
	crew.Work(func(w where) (core.TokenBackend, error) {
		client := goredis.NewUniversalClient(&goredis.UniversalOptions{
			Addrs: w.Addrs, IsClusterMode: w.Cluster, MasterName: w.MasterName,
		})
		return redis.New(client, redis.Options{Prefix: "workers:"})
	})
	os.Exit(m.Run())
}

func TestManyProcesses(t *testing.T) {
	t.Run("one server", func(t *testing.T) {
		server := redistest.Start(t)
		crew.Run(t, crew.Store{
			Where:    where{Addrs: []string{server.Addr}},
			LeaseTTL: lease,
			Stop:     func(t *testing.T) { server.Stop(t) },
			Restart:  func(t *testing.T) { server.Restart(t) },
		})
	})
	t.Run("Cluster", func(t *testing.T) {
		crew.Run(t, crew.Store{Where: where{Addrs: redistest.StartCluster(t).Addrs(), Cluster: true}, LeaseTTL: lease})
	})
	t.Run("Sentinel", func(t *testing.T) {
		crew.Run(t, crew.Store{Where: where{Addrs: redistest.StartSentinels(t).Addrs(), MasterName: redistest.MasterName}, LeaseTTL: lease})
	})
}

//go:build unix

package redis_test

import (
	"os"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/processes"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

// where is how workers reach a store.
type where struct {
	Addrs      []string
	Cluster    bool
	MasterName string // Addrs are Sentinels, which know it by this name
}

// processesLease leaves a holder time to renew while three stores are tested at once.
const processesLease = 2 * lease

func TestMain(m *testing.M) {
	logging.Disable() // every dial that fails is a line, and servers are stopped here
	processes.Work(connect)
	storm.Work(connect)
	os.Exit(m.Run())
}

func connect(w where) (core.TokenBackend, error) {
	client := goredis.NewUniversalClient(&goredis.UniversalOptions{
		Addrs: w.Addrs, IsClusterMode: w.Cluster, MasterName: w.MasterName,
	})
	return redis.New(client, redis.Options{Prefix: "workers:"})
}

func TestOneServer(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	t.Run("Conformance", func(t *testing.T) {
		conform(t, func() goredis.UniversalClient {
			return goredis.NewClient(&goredis.Options{Addr: server.Addr})
		}, nil)
	})
	t.Run("ManyProcesses", func(t *testing.T) {
		processes.Run(t, processes.Store{
			Where:    where{Addrs: []string{server.Addr}},
			LeaseTTL: processesLease,
			Stop:     func(t *testing.T) { server.Stop(t) },
			Restart:  func(t *testing.T) { server.Restart(t) },
		})
	})
}

func TestCluster(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t)
	connect := func() goredis.UniversalClient {
		return goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs()})
	}
	t.Run("Conformance", func(t *testing.T) {
		conform(t, connect, func(record string) { cluster.Failover(t, record) })
	})
	t.Run("ManyProcesses", func(t *testing.T) {
		processes.Run(t, processes.Store{Where: where{Addrs: cluster.Addrs(), Cluster: true}, LeaseTTL: processesLease})
	})
	t.Run("the least permissions are enough", func(t *testing.T) {
		for _, node := range cluster.Nodes {
			node.CLI(t, append([]string{"acl", "setuser", "tokens", "on", ">secret"}, append(leastPermissions, "+cluster|slots", "+command")...)...)
		}
		client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: cluster.Addrs(), Username: "tokens", Password: "secret"})
		defer client.Close()
		useAll(t, client)
		for _, node := range cluster.Nodes {
			wantRefusedQuestionsAlone(t, node)
		}
	})
	t.Run("a slot that moves", func(t *testing.T) {
		amid(t, connect, func(work func()) { cluster.Move(t, "{k}", work, work) })
	})
	t.Run("a failover that is ordered", func(t *testing.T) {
		amid(t, connect, func(func()) { cluster.Failover(t, "{k}") })
	})
	t.Run("a failover after a crash", func(t *testing.T) {
		amid(t, connect, func(func()) { cluster.KillMaster(t, "{k}") })
	})
}

func TestSentinel(t *testing.T) {
	t.Parallel()
	sentinels := redistest.StartSentinels(t)
	connect := func() goredis.UniversalClient {
		return goredis.NewFailoverClient(&goredis.FailoverOptions{
			MasterName:    redistest.MasterName,
			SentinelAddrs: sentinels.Addrs(),
			MaxRetries:    10,
		})
	}
	t.Run("Conformance", func(t *testing.T) {
		conform(t, connect, func(string) { sentinels.Switchover(t) })
	})
	t.Run("ManyProcesses", func(t *testing.T) {
		processes.Run(t, processes.Store{Where: where{Addrs: sentinels.Addrs(), MasterName: redistest.MasterName}, LeaseTTL: processesLease})
	})
	t.Run("a failover that is ordered", func(t *testing.T) {
		amid(t, connect, func(func()) { sentinels.Failover(t) })
	})
	t.Run("a failover after a crash", func(t *testing.T) {
		amid(t, connect, func(func()) { sentinels.KillMaster(t) })
	})
}

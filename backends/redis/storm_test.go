//go:build unix

package redis_test

import (
	"context"
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

// storms are the ways in which a program's stores share a server.
var storms = []struct {
	name    string
	clients bool // one for each store
}{
	{"one client", false},
	{"a client each", true},
}

// stormUsers is how many users the benchmarks have.
var stormUsers = []int{1000, 10_000}

// empty forgets what an earlier storm left, and returns a client that sees at the end
// that no lease is left.
func empty(t testing.TB, addr string) *goredis.Client {
	t.Helper()
	observer := goredis.NewClient(&goredis.Options{Addr: addr})
	t.Cleanup(func() { observer.Close() })
	if err := observer.FlushAll(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wantNoLease(t, observer) })
	return observer
}

func BenchmarkStorm(b *testing.B) {
	addr := redistest.Start(b, "--appendonly", "no").Addr
	for _, way := range storms {
		b.Run(way.name, func(b *testing.B) {
			for _, users := range stormUsers {
				storm.Bench(b, storm.Options{Users: users, Stores: 8}, func(t testing.TB) func() core.TokenBackend {
					shared := empty(t, addr)
					return func() core.TokenBackend {
						if way.clients {
							own, _ := open(t, addr)
							return own
						}
						return on(t, shared)
					}
				})
			}
		})
	}
}

func BenchmarkStormOfProcesses(b *testing.B) {
	addr := redistest.Start(b, "--appendonly", "no").Addr
	for _, users := range stormUsers {
		storm.BenchProcesses(b, storm.Options{Users: users, Stores: 8}, func(t testing.TB) where {
			empty(t, addr)
			return where{Addrs: []string{addr}}
		}, connect)
	}
}

func TestAStormRefreshesEachTokenOnce(t *testing.T) {
	const users = storm.Users
	server := redistest.Start(t, "--appendonly", "no")
	_, observer := open(t, server.Addr)
	for _, shuffled := range []bool{false, true} {
		o := storm.Options{Users: users, Stores: 8, Shuffled: shuffled}
		for _, way := range storms {
			t.Run(fmt.Sprintf("%s/shuffled=%t", way.name, shuffled), func(t *testing.T) {
				var commands counter
				var shared *redis.Backend
				r := storm.Run(t, o, func() core.TokenBackend {
					if way.clients || shared == nil {
						shared, _ = open(t, server.Addr, &commands)
					}
					return shared
				})
				r.Want(t, users)
				t.Logf("%.1f commands for each of the users, of which 3 were of signing in", float64(commands.n.Load())/users)
				wantNoLease(t, observer)
			})
			server.CLI(t, "flushall")
		}
		t.Run(fmt.Sprintf("eight processes/shuffled=%t", shuffled), func(t *testing.T) {
			storm.RunProcesses(t, o, where{Addrs: []string{server.Addr}}, connect).Want(t, users)
			wantNoLease(t, observer)
		})
		server.CLI(t, "flushall")
	}
}

func wantNoLease(t testing.TB, client *goredis.Client) {
	t.Helper()
	if leases, err := client.Keys(context.Background(), "*:lease").Result(); err != nil || len(leases) > 0 {
		t.Errorf("%d leases are left: %q, %v", len(leases), leases[:min(3, len(leases))], err)
	}
}

//go:build unix

package sql

import (
	"context"
	"fmt"
	"testing"

	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

// openStorm makes a table, and returns what opens it once more over one pool of
// so many connections.
func openStorm(t testing.TB, d database, connections int) (db *gorm.DB, table string, again func() core.TokenBackend) {
	t.Helper()
	table, db = newTable(), d.connect(t)
	pool, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	pool.SetMaxOpenConns(connections)
	pool.SetMaxIdleConns(connections)
	return db, table, func() core.TokenBackend {
		b, err := New(db, Options{Table: table})
		if err == nil {
			err = b.Migrate(context.Background())
		}
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// stormUsers is how many users the benchmarks have.
var stormUsers = []int{1000, 10_000}

// startStorm starts a database, reached as README wants it.
func startStorm(t testing.TB, start func(testing.TB) database) database {
	d := start(t)
	if d.name == "mysql" {
		d.prepares = true
		d.dsn += "?interpolateParams=true" // for the processes
	}
	return d
}

func BenchmarkStorm(b *testing.B) {
	for name, start := range starters {
		for _, connections := range []int{20, 4} {
			b.Run(fmt.Sprintf("%s/connections=%d", name, connections), func(b *testing.B) {
				d := startStorm(b, start)
				for _, users := range stormUsers {
					storm.Bench(b, storm.Options{Users: users, Stores: 8}, func(t testing.TB) func() core.TokenBackend {
						db, table, again := openStorm(t, d, connections)
						t.Cleanup(func() { wantNoLease(t, db, table) })
						return again
					})
				}
			})
		}
	}
}

func BenchmarkStormOfProcesses(b *testing.B) {
	for name, start := range starters {
		b.Run(name, func(b *testing.B) {
			d := startStorm(b, start)
			for _, users := range stormUsers {
				storm.BenchProcesses(b, storm.Options{Users: users, Stores: 8}, func(t testing.TB) where {
					db, table, again := openStorm(t, d, 2)
					again() // makes the table
					t.Cleanup(func() { wantNoLease(t, db, table) })
					return where{d.name, d.dsn, table}
				}, connect)
			}
		})
	}
}

func TestAStormRefreshesEachTokenOnce(t *testing.T) {
	const users = storm.Users
	d := starters["postgres"](t)
	for _, shuffled := range []bool{false, true} {
		o := storm.Options{Users: users, Stores: 8, Shuffled: shuffled}
		for _, connections := range []int{20, 4} {
			t.Run(fmt.Sprintf("connections=%d/shuffled=%t", connections, shuffled), func(t *testing.T) {
				db, table, again := openStorm(t, d, connections)
				storm.Run(t, o, again).Want(t, users)
				wantNoLease(t, db, table)
			})
		}
		t.Run(fmt.Sprintf("eight processes/shuffled=%t", shuffled), func(t *testing.T) {
			db, table, again := openStorm(t, d, 2)
			again() // makes the table
			storm.RunProcesses(t, o, where{d.name, d.dsn, table}, connect).Want(t, users)
			wantNoLease(t, db, table)
		})
	}
}

func wantNoLease(t testing.TB, db *gorm.DB, table string) {
	t.Helper()
	var leases int
	if err := db.Raw("SELECT COUNT(*) FROM " + table + " WHERE lease_until > 0").Row().Scan(&leases); err != nil || leases > 0 {
		t.Errorf("%d leases are left, %v", leases, err)
	}
}

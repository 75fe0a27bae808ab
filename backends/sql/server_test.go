//go:build unix

package sql

import (
	"sync"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/sqltest"
)

func init() {
	starters["postgres"] = shared(startPostgres)
	starters["mariadb"] = shared(startMariaDB)
}

func startPostgres(t sqltest.TB) database { return served("postgres", sqltest.Postgres(t)) }
func startMariaDB(t sqltest.TB) database  { return served("mysql", sqltest.MariaDB(t)) }

func served(name string, s *sqltest.Server) database {
	return database{name: name, dsn: s.DSN(), stop: s.Stop, start: s.Start}
}

// shared starts a server for the first test that wants it; it stays until all
// tests have run. Those who stop it start one of their own.
func shared(start func(sqltest.TB) database) func(testing.TB) database {
	var mu sync.Mutex
	var running *database
	return func(t testing.TB) database {
		mu.Lock()
		defer mu.Unlock()
		if running == nil {
			d := start(lasting{t})
			running = &d
		}
		return *running
	}
}

// lasting puts cleaning up off until all tests have run.
type lasting struct{ testing.TB }

var afterAll struct {
	sync.Mutex
	do []func()
}

func (lasting) Cleanup(f func()) {
	afterAll.Lock()
	defer afterAll.Unlock()
	afterAll.do = append(afterAll.do, f)
}

// runAll runs the tests, and what they put off.
func runAll(m *testing.M) int {
	defer func() {
		for _, f := range afterAll.do {
			f()
		}
	}()
	return m.Run()
}

// Some programs connect so that an UPDATE counts the rows it found, and others
// so that parameters travel in the statement's text.
func TestConformanceOfOtherConnections(t *testing.T) {
	t.Parallel()
	d := starters["mariadb"](t)
	d.dsn += "?clientFoundRows=true&interpolateParams=true&loc=Local&parseTime=true"
	conform(t, d, Options{})
}

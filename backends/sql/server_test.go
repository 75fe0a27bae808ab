//go:build unix

package sql

import (
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/sqltest"
)

func init() {
	starters["postgres"] = sharedPostgres.Get
	starters["mariadb"] = sharedMariaDB.Get
}

func startPostgres(t testing.TB) database { return served("postgres", sqltest.Postgres(t)) }
func startMariaDB(t testing.TB) database  { return served("mysql", sqltest.MariaDB(t)) }

func served(name string, s *sqltest.Server) database {
	return database{name: name, dsn: s.DSN(), stop: s.Stop, start: s.Start}
}

// All tests share these servers, but for those that stop one.
var (
	sharedPostgres = testkit.Shared[database]{Start: startPostgres}
	sharedMariaDB  = testkit.Shared[database]{Start: startMariaDB}
)

// runAll runs the tests, and ends what they share.
func runAll(m *testing.M) int {
	defer sharedPostgres.End()
	defer sharedMariaDB.End()
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

func TestConformanceWhereWaitersListen(t *testing.T) {
	t.Parallel()
	d := starters["postgres"](t)
	conform(t, d, Options{Prefix: "équipe/", Listen: ListenWithPgx(d.dsn)})
}

func TestConnectionsWithOtherSettingsWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		database, suffix string
		prepares         bool // by gorm
	}{
		"pgbouncer's":                  {"postgres", " default_query_exec_mode=simple_protocol", false},
		"in a time zone":               {"postgres", " timezone=America/Caracas", false},
		"serializable":                 {"postgres", " default_transaction_isolation=serializable", false},
		"latin1":                       {"mariadb", "?charset=latin1", false},
		"ANSI":                         {"mariadb", "?sql_mode='ANSI,NO_BACKSLASH_ESCAPES'&interpolateParams=true", false},
		"gorm prepares, on MariaDB":    {"mariadb", "", true},
		"gorm prepares, on PostgreSQL": {"postgres", "", true},
		"without mode":                 {"mariadb", "?sql_mode=''&time_zone='-04:30'", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := starters[c.database](t)
			d.dsn += c.suffix
			d.prepares = c.prepares
			o := Options{Table: newTable()}
			if d.name == "postgres" {
				o.Listen = ListenWithPgx(d.dsn)
			}
			b := d.open(t, o)
			for _, op := range d.operations(t.Context(), b) {
				if err := op.do(); err != nil {
					t.Errorf("%s: %v", op.name, err)
				}
			}
			for _, key := range []string{"é", "É", "e", "e ", "'\"\\;--$1?"} {
				save(t, b, key, key+"\x00\xff\\'", core.Absent)
			}
			for key, err := range b.Keys(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if rec, err := b.Load(t.Context(), key); err != nil || string(rec.Data) != key+"\x00\xff\\'" || time.Since(rec.Modified).Abs() > time.Minute {
					t.Errorf("Load(%q) = %q of %v, %v", key, rec.Data, rec.Modified, err)
				}
			}
		})
	}
}

//go:build unix

package sql

import (
	"io"
	"log"
	"os"
	"testing"

	"github.com/go-sql-driver/mysql"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/processes"
	"github.com/graphtoken/graphtoken/internal/testkit/storm"
)

// where is how workers reach a database.
type where struct{ Database, DSN, Table string }

func TestMain(m *testing.M) {
	storm.Work(connect)
	processes.Work(connect)
	_ = mysql.SetLogger(log.New(io.Discard, "", 0)) // it prints every connection that a stopped server cut
	os.Exit(runAll(m))
}

func connect(w where) (core.TokenBackend, error) {
	db, err := database{name: w.Database, dsn: w.DSN}.gorm()
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(2) // so that a server takes a hundred of these
	o := Options{Table: w.Table}
	if w.Database == "postgres" {
		o.Listen = ListenWithPgx(w.DSN)
	}
	return New(db, o)
}

// Each has a server of its own, since it is stopped.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB) database{
		"sqlite":   startSQLite,
		"postgres": func(t testing.TB) database { return startPostgres(t) },
		"mariadb":  func(t testing.TB) database { return startMariaDB(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, table := start(t), newTable()
			d.open(t, Options{Table: table}) // makes the table
			s := processes.Store{Where: where{d.name, d.dsn, table}}
			if d.stop != nil {
				s.Stop = func(*testing.T) { d.stop() }
				s.Restart = func(*testing.T) { d.start() }
			}
			processes.Run(t, s)
		})
	}
}

//go:build unix

package sql

import (
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/sqltest"
)

func init() {
	starters["postgres"] = func(t testing.TB) database { return served("postgres", sqltest.Postgres(t), "") }
	starters["mariadb"] = func(t testing.TB) database { return served("mysql", sqltest.MariaDB(t), "") }
}

// Some programs connect so that an UPDATE counts the rows it found, and others
// so that parameters travel in the statement's text.
func TestConformanceOfOtherConnections(t *testing.T) {
	conform(t, served("mysql", sqltest.MariaDB(t), "?clientFoundRows=true&interpolateParams=true&loc=Local&parseTime=true"), Options{})
}

func served(name string, s *sqltest.Server, options string) database {
	return database{name: name, dsn: s.DSN() + options, stop: s.Stop, start: s.Start}
}

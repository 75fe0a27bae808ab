//go:build unix

package sql

import (
	"testing"

	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/internal/testkit/sqltest"
)

func init() {
	starters["postgres"] = func(t testing.TB) database { return onPostgres(sqltest.Postgres(t).DSN()) }
	starters["mariadb"] = func(t testing.TB) database { return onMySQL(sqltest.MariaDB(t).DSN()) }
	// As some programs connect: an UPDATE then counts the rows it found.
	starters["mariadb found rows"] = func(t testing.TB) database {
		return onMySQL(sqltest.MariaDB(t).DSN() + "?clientFoundRows=true&interpolateParams=true")
	}
}

func onPostgres(dsn string) database {
	return database{"postgres", func() gorm.Dialector { return postgres.Open(dsn) }}
}

func onMySQL(dsn string) database {
	return database{"mysql", func() gorm.Dialector { return mysql.Open(dsn) }}
}

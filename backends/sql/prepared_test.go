package sql

import (
	"runtime"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
)

func TestPreparedStatementsAreClosedWhenNothingUsesTheirBackend(t *testing.T) {
	d := startSQLite(t)
	b := d.open(t, Options{Table: newTable()})
	save(t, b, "k", "1", core.Absent)
	p, create := b.prepared, b.sql.create[0].text
	stmt, err := p.statement(t.Context(), b.pool, create)
	if err != nil {
		t.Fatal(err)
	}
	runtime.KeepAlive(b)
	testkit.Until(t, "the statements are closed", func() bool {
		runtime.GC()
		_, err := stmt.ExecContext(t.Context())
		return err != nil && strings.Contains(err.Error(), "statement is closed")
	})
}

func TestStatementsArePreparedOnSQLiteAlone(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		b := d.open(t, Options{Table: newTable()})
		if prepared, want := b.prepared != nil, d.name == "sqlite"; prepared != want {
			t.Errorf("the backend prepares its statements: %v, want %v", prepared, want)
		}
	})
}

//go:build unix

package sql

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
)

// trips counts how often something was written to a connection after something
// was read from it: the round trips, whatever the driver makes of a statement.
type trips struct {
	net.Conn
	n       *atomic.Int64
	written atomic.Bool
}

func (c *trips) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.written.Store(false)
	}
	return n, err
}

func (c *trips) Write(p []byte) (int, error) {
	if !c.written.Swap(true) {
		c.n.Add(1)
	}
	return c.Conn.Write(p)
}

func dialCounted(n *atomic.Int64) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &trips{Conn: conn, n: n}, err
	}
}

// The first time drivers prepare the statement: a round trip more. MySQL's does
// so every time, unless it is told interpolateParams.
func TestEveryStatementIsOneRoundTrip(t *testing.T) {
	var n atomic.Int64
	mysqldriver.RegisterDialContext("counted", func(ctx context.Context, addr string) (net.Conn, error) {
		return dialCounted(&n)(ctx, "tcp", addr)
	})
	for name, dial := range map[string]func(t *testing.T, dsn string) gorm.Dialector{
		"postgres": func(t *testing.T, dsn string) gorm.Dialector {
			config, err := pgx.ParseConfig(dsn)
			if err != nil {
				t.Fatal(err)
			}
			config.DialFunc = dialCounted(&n)
			return postgres.New(postgres.Config{Conn: stdlib.OpenDB(*config)})
		},
		"mariadb": func(t *testing.T, dsn string) gorm.Dialector {
			return mysql.Open(strings.Replace(dsn, "tcp(", "counted(", 1) + "?interpolateParams=true")
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := starters[name](t)
			o := Options{Table: newTable()}
			d.open(t, o) // makes the table
			if d.name == "postgres" {
				o.Listen = ListenWithPgx(d.dsn) // its writes notify
			}
			db, err := gorm.Open(dial(t, d.dsn), &gorm.Config{})
			if err != nil {
				t.Fatal(err)
			}
			pool, err := db.DB()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { pool.Close() })
			b, err := New(db, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, again := range []bool{false, true} {
				for _, op := range d.operations(t.Context(), b) {
					before := n.Load()
					if err := op.do(); err != nil {
						t.Errorf("%s: %v", op.name, err)
					}
					if took := n.Load() - before; again && took != op.statements {
						t.Errorf("%s takes %d round trips, want %d", op.name, took, op.statements)
					}
				}
			}
		})
	}
}

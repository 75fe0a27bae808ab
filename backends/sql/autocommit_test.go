//go:build unix

package sql

import (
	stdsql "database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/graphtoken/graphtoken/core"
)

// Programs of the time before frameworks, and some drivers' defaults, switch
// autocommit off.
func TestASaveInASessionWithoutAutocommitIsCommitted(t *testing.T) {
	d := startMariaDB(t)
	root := d.connect(t)
	for _, s := range []string{
		"CREATE DATABASE tokens",
		"CREATE USER clerk@localhost IDENTIFIED BY 'x'", "CREATE USER clerk@'127.0.0.1' IDENTIFIED BY 'x'",
		"GRANT ALL ON *.* TO clerk@localhost", "GRANT ALL ON *.* TO clerk@'127.0.0.1'",
		"REVOKE SUPER, CONNECTION ADMIN ON *.* FROM clerk@localhost", "REVOKE SUPER, CONNECTION ADMIN ON *.* FROM clerk@'127.0.0.1'",
	} {
		execute(t, root, s)
	}
	clerk := d
	_, address, _ := strings.Cut(d.dsn, "@")
	clerk.dsn = "clerk:x@" + address
	off := d
	off.dsn += "?autocommit=0"
	offInText := d
	offInText.dsn += "?autocommit=0&interpolateParams=true"
	for _, c := range []struct {
		name     string
		database database
		begin    func(t *testing.T, db *gorm.DB)
		config   gorm.Config
	}{
		{"by the DSN", off, nil, gorm.Config{}},
		{"by the DSN, with arguments in the text", offInText, nil, gorm.Config{}},
		{"by the DSN, with statements that gorm prepares", off, nil, gorm.Config{PrepareStmt: true}},
		{"by the server's init_connect", clerk, func(t *testing.T, _ *gorm.DB) {
			execute(t, root, "SET GLOBAL init_connect = 'SET autocommit = 0'")
			t.Cleanup(func() { execute(t, root, "SET GLOBAL init_connect = ''") })
		}, gorm.Config{}},
		{"by a SET on one of two connections", d, func(t *testing.T, db *gorm.DB) {
			pool, err := db.DB()
			if err != nil {
				t.Fatal(err)
			}
			pool.SetMaxOpenConns(2)
			var conns [2]*stdsql.Conn
			for i := range conns {
				if conns[i], err = pool.Conn(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := conns[i].ExecContext(t.Context(), fmt.Sprint("SET autocommit = ", 1-i)); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range conns { // the pool gives away first what it got last
				c.Close()
			}
		}, gorm.Config{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := Options{Table: newTable()}
			another := d.open(t, o)
			c.config.Logger, c.config.DisableAutomaticPing = logger.Discard, true
			db, err := gorm.Open(c.database.dial(), &c.config)
			if err != nil {
				t.Fatal(err)
			}
			pool, err := db.DB()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { pool.Close() })
			if c.begin != nil {
				c.begin(t, db)
			}
			b, err := New(db, o)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			for i := range 4 { // on every connection there is
				key := fmt.Sprint("user-", i)
				wantAbsent(t, b, key)
				v := save(t, b, key, "1", core.Absent)
				wantRecord(t, another, key, "1", v)
				v = save(t, another, key, "2", v)
				wantRecord(t, b, key, "2", v)
				v = save(t, b, key, "3", v)
				wantRecord(t, another, key, "3", v)
				v = save(t, b, key, "4", core.AnyVersion)
				wantRecord(t, another, key, "4", v)
				if _, err := b.Save(t.Context(), key, core.Record{Data: []byte("5"), Version: "7"}); !errors.Is(err, core.ErrConflict) {
					t.Errorf("Save over another version: %v", err)
				}

				lease, err := b.Acquire(t.Context(), key, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := another.Acquire(t.Context(), key, time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
					t.Errorf("another gets a lease that is held: %v", err)
				}
				if err := lease.Renew(t.Context(), time.Minute); err != nil {
					t.Error(err)
				}
				if err := lease.Release(t.Context()); err != nil {
					t.Error(err)
				}
				lease, err = another.Acquire(t.Context(), key, time.Minute)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := b.Acquire(t.Context(), key, time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
					t.Errorf("a lease that another holds: %v", err)
				}
				if err := lease.Release(t.Context()); err != nil {
					t.Error(err)
				}
				if err := b.Ping(t.Context()); err != nil {
					t.Error(err)
				}
				if err := b.Delete(t.Context(), key); err != nil {
					t.Error(err)
				}
				wantAbsent(t, another, key)
			}
			if !b.transacts.Load() {
				t.Error("no session without autocommit was met: the test proves nothing")
			}
			var locks int64
			if err := root.Raw("SELECT COALESCE(SUM(trx_rows_locked), 0) FROM information_schema.innodb_trx").Scan(&locks).Error; err != nil || locks > 0 {
				t.Errorf("%d rows stay locked, %v", locks, err)
			}
		})
	}
}

func wantRecord(t *testing.T, b *Backend, key, data string, v core.Version) {
	t.Helper()
	if rec, err := b.Load(t.Context(), key); err != nil || string(rec.Data) != data || rec.Version != v {
		t.Errorf("Load = %q, %q, %v; want %q, %q", []byte(rec.Data), rec.Version, err, data, v)
	}
}

func wantAbsent(t *testing.T, b *Backend, key string) {
	t.Helper()
	if _, err := b.Load(t.Context(), key); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("Load: %v, want none", err)
	}
}

// poolOnly is a pool that can't begin a transaction.
type poolOnly struct{ gorm.ConnPool }

func TestAPoolThatCannotCommitIsAnError(t *testing.T) {
	d := starters["mariadb"](t)
	d.dsn += "?autocommit=0"
	o := Options{Table: newTable()}
	b, w := d.openWired(t, o)
	b.pool = poolOnly{w.ConnPool}
	if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("1")}); !errors.Is(err, errUncommitted) {
		t.Errorf("Save = %v", err)
	}
	if err := b.Ping(t.Context()); !errors.Is(err, errUncommitted) {
		t.Errorf("Ping = %v", err)
	}
}

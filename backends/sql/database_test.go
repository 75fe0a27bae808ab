package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/lateanswer"
)

// tb is what conformance.T and testing.TB have in common.
type tb interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// database is one that the tests run on.
type database struct {
	name, dsn   string // as dialects and the driver name it
	stop, start func() // nil: it isn't a server
	prepares    bool   // gorm prepares the statements
}

func (d database) dial() gorm.Dialector {
	switch d.name {
	case "postgres":
		return postgres.Open(d.dsn)
	case "mysql":
		return mysql.New(mysql.Config{DSN: d.dsn, SkipInitializeWithVersion: true})
	}
	return sqlite.Open(d.dsn)
}

// everyDatabase runs a test on each.
func everyDatabase(t *testing.T, test func(t *testing.T, d database)) {
	t.Parallel()
	for name, start := range starters {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, start(t))
		})
	}
}

// starters start a database, or skip the test; server_test.go adds to them.
var starters = map[string]func(t testing.TB) database{"sqlite": startSQLite}

func startSQLite(t testing.TB) database {
	return database{name: "sqlite", dsn: "file:" + filepath.Join(t.TempDir(), "tokens.db") +
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(off)"}
}

// connect opens a pool of connections of its own, as another process would.
func (d database) connect(t tb) *gorm.DB {
	t.Helper()
	db, err := d.gorm()
	if err != nil {
		t.Fatalf("%v", err)
	}
	pool, err := db.DB()
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() { pool.Close() })
	pool.SetMaxOpenConns(8) // as programs do; a hundred callers at one time must do with them
	pool.SetMaxIdleConns(8)
	return db
}

// gorm needs no server to be there yet.
func (d database) gorm() (*gorm.DB, error) {
	return gorm.Open(d.dial(), &gorm.Config{Logger: logger.Discard, DisableAutomaticPing: true, PrepareStmt: d.prepares})
}

func execute(t tb, db *gorm.DB, statement string) {
	t.Helper()
	if err := db.Exec(statement).Error; err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func (d database) open(t tb, o Options) *Backend {
	t.Helper()
	b, err := New(d.connect(t), o)
	if err == nil {
		err = b.Migrate(context.Background())
	}
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

// openWired has the statements go over a wire, where none is prepared.
func (d database) openWired(t tb, o Options) (*Backend, *wire) {
	t.Helper()
	b := d.open(t, o)
	w := &wire{ConnPool: b.pool, fails: new(atomic.Int64)}
	b.pool, b.prepared = w, nil
	return b, w
}

// wire is where statements leave for the database. It counts them, and cuts
// off as many as it is told to; all of them, if that is less than none. It can
// also lose the answer to a write, which the database has done by then.
type wire struct {
	gorm.ConnPool
	statements atomic.Int64
	fails      *atomic.Int64
	deaf       atomic.Bool      // to the next answer
	gate       *lateanswer.Gate // that answers to what changed a row pass; nil: there is none
}

var errCut = errors.New("the wire is cut")

func (w *wire) pass() error {
	w.statements.Add(1)
	for {
		n := w.fails.Load()
		if n == 0 {
			return nil
		}
		if n < 0 || w.fails.CompareAndSwap(n, n-1) {
			return errCut
		}
	}
}

func (w *wire) ExecContext(ctx context.Context, query string, args ...any) (stdsql.Result, error) {
	if err := w.pass(); err != nil {
		return nil, err
	}
	done, err := w.ConnPool.ExecContext(ctx, query, args...)
	if w.deaf.CompareAndSwap(true, false) {
		return nil, errCut
	}
	if w.gate != nil && err == nil {
		if n, _ := done.RowsAffected(); n > 0 {
			err = w.gate.Pass(ctx)
		}
	}
	return done, err
}

// BeginTx is what *sql.DB has, and a gorm.ConnPool may not.
func (w *wire) BeginTx(ctx context.Context, o *stdsql.TxOptions) (*stdsql.Tx, error) {
	if err := w.pass(); err != nil {
		return nil, err
	}
	return w.ConnPool.(gorm.TxBeginner).BeginTx(ctx, o)
}

func (w *wire) QueryContext(ctx context.Context, query string, args ...any) (*stdsql.Rows, error) {
	if err := w.pass(); err != nil {
		return nil, err
	}
	return w.ConnPool.QueryContext(ctx, query, args...)
}

// ListenWithPgx is set by the example that shows it.
var ListenWithPgx func(dsn string) func(ctx context.Context, channel string, heard func(payload string)) error

var tables atomic.Int64

// newTable is the name of a table that no other test uses.
func newTable() string { return fmt.Sprintf("tokens_%d", tables.Add(1)) }

func TestConformance(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) { conform(t, d, Options{}) })
}

func TestConformanceOfPreparedStatements(t *testing.T) {
	t.Parallel()
	d := startSQLite(t)
	run(t, func(t conformance.T) conformance.Env { return preparedEnv{newEnv(t, d, Options{})} })
}

func conform(t *testing.T, d database, o Options) {
	run(t, func(t conformance.T) conformance.Env { return newEnv(t, d, o) })
}

func run(t *testing.T, open func(t conformance.T) conformance.Env) {
	conformance.Run(t, conformance.Harness{
		New: open,
		// SQLite, compiled to Go and slowed by the race detector, takes its time.
		Timeout: 3 * time.Minute,
		Want: conformance.Capabilities{
			CAS: conformance.CASEnforced, Coordinates: true, Lease: true, LeaseExpires: true, Watch: true, List: true, Ping: true, MaxSize: maxSize,
		},
	})
}

// env is a table. Its own connection is never cut.
type env struct {
	database
	options Options
	db      *gorm.DB
	fails   *atomic.Int64
}

func newEnv(t conformance.T, d database, o Options) *env {
	e := &env{database: d, options: o, db: d.connect(t), fails: new(atomic.Int64)}
	e.options.Table = newTable()
	return e
}

// preparedEnv is an env whose statements don't go over a wire of the test's, which
// would keep them from being prepared.
type preparedEnv struct{ e *env }

func (p preparedEnv) Open(t conformance.T) core.TokenBackend {
	b := p.e.open(t, p.e.options)
	if b.prepared == nil {
		t.Fatalf("nothing is prepared")
	}
	return b
}

func (p preparedEnv) Advance(d time.Duration) error  { return p.e.Advance(d) }
func (p preparedEnv) Raw(key string) ([]byte, error) { return p.e.Raw(key) }
func (p preparedEnv) Corrupt(key string) error       { return p.e.Corrupt(key) }

func (e *env) Open(t conformance.T) core.TokenBackend {
	b, w := e.openWired(t, e.options)
	w.fails = e.fails
	return b
}

func (e *env) Fail(n int) { e.fails.Store(int64(n)) }

// Advance moves the leases' expiries instead of the database's clock.
func (e *env) Advance(d time.Duration) error {
	return e.db.Exec("UPDATE "+e.options.Table+" SET lease_until = lease_until - ? WHERE lease_until > 0", d.Microseconds()).Error
}

func (e *env) Raw(key string) (data []byte, err error) {
	err = e.db.Raw("SELECT data FROM "+e.options.Table+" WHERE record_key = ?", e.options.Prefix+key).Row().Scan(&data)
	if errors.Is(err, stdsql.ErrNoRows) {
		return nil, nil
	}
	return data, err
}

func (e *env) Corrupt(key string) error {
	return e.db.Exec("UPDATE "+e.options.Table+" SET data = '' WHERE record_key = ?", e.options.Prefix+key).Error
}

// Package sql keeps token records in a table of an SQL database, for web workers that
// have one anyway. It works with SQLite, PostgreSQL, MySQL and MariaDB, through a
// [gorm.DB] that the program brings. It imports no driver.
//
//	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{})
//	if err != nil {
//		return err
//	}
//	backend, err := sql.New(db, sql.Options{})
//	if err != nil {
//		return err
//	}
//	if err := backend.Migrate(ctx); err != nil {
//		return err
//	}
//	store := core.NewStore(backend)
//
// # The table
//
// Each key has one row, with the record and the lease. A lease needs no record: a row
// whose data is NULL is a lease alone, and is removed with it. Times are microseconds
// since 1970, by the database's clock, so neither the clocks nor the time zones of its
// clients matter.
//
// Versions are random numbers that the client makes, so none comes back after a Delete.
package sql

import (
	"cmp"
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// DefaultTable is the table of a Backend without Options.Table.
const DefaultTable = "graphtoken"

// Options configures a [Backend]. The zero value is ready for use.
type Options struct {
	// Prefix begins every record_key, without escaping, and separates users of one table.
	// It is UTF-8 without NUL, of at most 105 bytes.
	Prefix string

	// Table is the table's name, with or without a schema before it: letters, digits,
	// underscores, and one dot at most. Empty means DefaultTable.
	Table string

	// Listen, on PostgreSQL, wakes waiters by notifications; otherwise they look by
	// themselves now and then. It opens a connection of its own, executes LISTEN for the
	// channel, and calls heard: once with "" as soon as it listens, and with the payload
	// of each notification. It returns when ctx is done or the connection is lost. The
	// package's example has one with pgx.
	//
	// For each Backend there is one call at a time, besides those whose ctx is done. It
	// lasts as long as there are waiters, and a little longer. A second after it returned
	// it is called again; meanwhile waiters look by themselves. It has to report its
	// errors itself. A Backend without Listen doesn't notify others of its writes, so
	// either all processes that share a table have it, or none.
	Listen func(ctx context.Context, channel string, heard func(payload string)) error
}

// Backend is a [core.TokenBackend] on a table. Any number of Backends, in any number of
// processes, can share one.
type Backend struct {
	// Not the gorm.DB, because its logger and plugins see the statements' arguments.
	pool     gorm.ConnPool
	db       *stdsql.DB // the pool's database; nil if it isn't known
	table    string
	prefix   string
	sql      statements
	prepared *prepared      // nil: the driver is given the text
	writers  int            // how many goroutines may write at the same time; zero means no limit
	wakes    *backend.Wakes // nil: waiters look by themselves
	looks    looks

	transacts atomic.Bool // true once a session was found that doesn't commit by itself
}

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Locator        = (*Backend)(nil)
	_ core.SizeLimiter    = (*Backend)(nil)
)

// maxStoredKey is how long a record_key can be, see ddl/mysql.sql.
const maxStoredKey = 255

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// New returns the backend of a table in db. The caller closes db. New doesn't ask the
// database anything: [Backend.Migrate] makes the table, and [Backend.Ping] finds out
// whether it exists.
//
// New refuses a db that is a transaction: other processes couldn't see a lease until the
// transaction is over, and a record could still be rolled back.
func New(db *gorm.DB, o Options) (*Backend, error) {
	b, err := newBackend(db, o)
	return b, origin.Fail("new", "", err)
}

func newBackend(db *gorm.DB, o Options) (*Backend, error) {
	if db == nil || db.Config == nil || db.Statement == nil || origin.Require(db.Statement.ConnPool) != nil || origin.Require(db.Dialector) != nil {
		return nil, errors.New("db is nil, or has no connection")
	}
	if db.Error != nil {
		return nil, db.Error
	}
	if _, ok := db.Statement.ConnPool.(gorm.TxCommitter); ok {
		return nil, errors.New("db is a transaction: use the *gorm.DB that began it")
	}
	if db.DryRun {
		return nil, errors.New("db has DryRun set, and would store nothing")
	}
	table := cmp.Or(o.Table, DefaultTable)
	if !tableName.MatchString(table) {
		return nil, fmt.Errorf("Options.Table is %q, which can't be a table's name", table)
	}
	if !utf8.ValidString(o.Prefix) || strings.ContainsRune(o.Prefix, 0) || len(o.Prefix) > maxStoredKey-core.MaxKeyLen {
		return nil, fmt.Errorf("%w: the prefix %q is too long, or isn't UTF-8, or has a NUL", core.ErrInvalidKey, o.Prefix)
	}
	d, ok := dialects[db.Name()]
	if !ok {
		return nil, fmt.Errorf("gorm's dialect %q isn't supported", db.Name())
	}
	if o.Listen != nil && !d.notifies {
		return nil, fmt.Errorf("Options.Listen is for PostgreSQL, not for gorm's dialect %q", db.Name())
	}
	pool, _ := db.DB() // nil if it isn't known
	b := &Backend{
		pool:   db.Statement.ConnPool,
		db:     pool,
		table:  table,
		prefix: o.Prefix,
		sql:    d.statements(db.Statement.Quote(table), o.Listen != nil),
	}
	if d.embedded {
		b.writers = 1
		b.prepared = prepare(b)
	}
	if o.Listen != nil {
		b.wakes = &backend.Wakes{Listen: listen(o.Listen), Linger: linger}
	}
	return b, nil
}

// Place implements [core.Locator]. Backends with the same pool of connections, table and
// prefix have one place.
func (b *Backend) Place() any { return [...]any{b.pool, b.table, b.prefix} }

// args returns the arguments that a statement about a key may need.
func (b *Backend) args(key string) args {
	a := args{"key": b.prefix + key}
	if b.wakes != nil {
		a["news"] = news(b.prefix + key)
	}
	return a
}

// origin names the backend in its errors.
const origin backend.Origin = "sql"

// classified returns op with classify, which tells the database's errors apart.
func classified(op backend.Op) backend.Op {
	op.Classify = classify
	return op
}

// turn waits for a turn at the pool. Reads, tries for a lease and looks for others take
// turns. A pool without a limit, which is database/sql's default, has no turns.
func (b *Backend) turn(ctx context.Context) (done func(), err error) {
	if b.db == nil {
		return func() {}, nil
	}
	return backend.PoolTurn(ctx, b.db, b.db.Stats().MaxOpenConnections)
}

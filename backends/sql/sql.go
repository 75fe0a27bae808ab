// Package sql keeps token records in a table of an SQL database: what web
// workers use that have one anyway. It works on SQLite, PostgreSQL, MySQL and
// MariaDB, by a [gorm.DB] the program brings; it imports no driver itself.
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
// Each key has one row, which holds the record and the lease. A lease needs no
// record: a row whose data is NULL is a lease alone, and goes with it. Times
// are microseconds since 1970, by the database's clock, so that neither the
// clocks nor the time zones of its clients matter.
//
// Versions are random numbers. A counter in the row would begin anew after a
// Delete, unless the row stayed, and with it the user's name. And since the
// client makes them up, every write is one statement that says what it stored
// on every database, and changes its row every time: MySQL counts no row that
// an UPDATE left as it was.
package sql

import (
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

// DefaultTable is the table of a Backend that is told no other.
const DefaultTable = "graphtoken"

// Options configures a [Backend]. The zero value is ready for use.
type Options struct {
	// Prefix begins every record_key, as it is, and keeps apart those who
	// share a table. It is UTF-8 without NUL, of at most 105 bytes.
	Prefix string

	// Table is the table's name, DefaultTable if empty, with or without a
	// schema before it: letters, digits, underscores, and one dot at most.
	Table string

	// Listen, on PostgreSQL, has waiters woken by notifications, instead of
	// looking by themselves now and then. It opens a connection of its own,
	// executes LISTEN for the channel, and calls heard: once with "" as soon as
	// it listens, and with the payload of each notification. It returns when
	// ctx is done or the connection is lost. See the package's example for one
	// with pgx.
	//
	// There is one call at a time for each Backend, besides those whose ctx is
	// done, while somebody waits and a little longer; and another a second after
	// it returned: waiters look by themselves meanwhile. Errors are its own to
	// report. Without it the Backend also tells nobody of its writes, so processes
	// that share a table want it all alike.
	Listen func(ctx context.Context, channel string, heard func(payload string)) error
}

// Backend is a [core.TokenBackend] over a table. Any number of Backends, in any
// number of processes, can share one.
type Backend struct {
	// Not the gorm.DB, whose logger and plugins see what statements carry.
	pool     gorm.ConnPool
	db       *stdsql.DB // behind the pool; nil: not known
	table    string
	prefix   string
	sql      statements
	prepared *prepared      // nil: the driver is given the text
	writers  int            // as many write at a time; zero sets no bound
	wakes    *backend.Wakes // nil: those who wait look by themselves
	looks    looks

	transacts atomic.Bool // a session was met that doesn't commit by itself
}

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Locator        = (*Backend)(nil)
	_ core.SizeLimiter    = (*Backend)(nil)
)

// maxStoredKey is how long a record_key can be, see ddl/mysql.sql.
const maxStoredKey = 255

var tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// New returns the backend of a table in db, which stays the caller's to close.
// It doesn't ask the database anything; see [Backend.Migrate] for the table,
// and [Backend.Ping] to learn whether it is there.
//
// New refuses a db that is a transaction: a lease that others can't see until
// it is over, and a record that may yet be rolled back, would be no use.
func New(db *gorm.DB, o Options) (*Backend, error) {
	b, err := newBackend(db, o)
	if err != nil {
		return nil, origin.Fail("new", "", err)
	}
	return b, nil
}

func newBackend(db *gorm.DB, o Options) (*Backend, error) {
	if db == nil || db.Config == nil || db.Statement == nil || origin.Require(db.Statement.ConnPool) != nil || origin.Require(db.Dialector) != nil {
		return nil, errors.New("no database")
	}
	if db.Error != nil {
		return nil, db.Error
	}
	if _, ok := db.Statement.ConnPool.(gorm.TxCommitter); ok {
		return nil, errors.New("a transaction can't be a backend")
	}
	if db.DryRun {
		return nil, errors.New("a dry run can't be a backend")
	}
	table := o.Table
	if table == "" {
		table = DefaultTable
	}
	if !tableName.MatchString(table) {
		return nil, fmt.Errorf("%q can't be a table's name", table)
	}
	if !utf8.ValidString(o.Prefix) || strings.ContainsRune(o.Prefix, 0) || len(o.Prefix) > maxStoredKey-core.MaxKeyLen {
		return nil, fmt.Errorf("%w: %q can't be a prefix", core.ErrInvalidKey, o.Prefix)
	}
	d, ok := dialects[db.Name()]
	if !ok {
		return nil, fmt.Errorf("no support for the database %q", db.Name())
	}
	if o.Listen != nil && !d.notifies {
		return nil, fmt.Errorf("no support for Listen on the database %q", db.Name())
	}
	b := &Backend{
		pool:   db.Statement.ConnPool,
		db:     poolBehind(db.Statement.ConnPool),
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

// poolBehind is the pool of connections of a gorm.ConnPool; nil if that isn't known.
func poolBehind(pool gorm.ConnPool) *stdsql.DB {
	switch p := pool.(type) {
	case *stdsql.DB:
		return p
	case gorm.GetDBConnector:
		if db, err := p.GetDBConn(); err == nil {
			return db
		}
	}
	return nil
}

// Place implements [core.Locator]: Backends are one place where they have the same
// pool of connections, table and prefix.
func (b *Backend) Place() any {
	type place struct {
		pool          gorm.ConnPool
		table, prefix string
	}
	return place{b.pool, b.table, b.prefix}
}

// args are what every statement about a key may want.
func (b *Backend) args(key string) args {
	a := args{"key": b.prefix + key}
	if b.wakes != nil {
		a["news"] = news(b.prefix + key)
	}
	return a
}

// origin names the backend in its errors.
const origin backend.Origin = "sql"

func (b *Backend) op(name, key string) backend.Op {
	op := origin.Op(name, key)
	op.Classify = classify
	return op
}

func (b *Backend) storeOp(name string) backend.Op {
	op := origin.StoreOp(name)
	op.Classify = classify
	return op
}

// turn waits for a turn at the pool, which those take that read, try for a lease or
// look for others. A pool without a bound, which is database/sql's default, has none.
func (b *Backend) turn(ctx context.Context) (done func(), err error) {
	if b.db == nil {
		return func() {}, nil
	}
	most := b.db.Stats().MaxOpenConnections
	return backend.Turn(ctx, b.db, max(min(most, 1), most*3/4))
}

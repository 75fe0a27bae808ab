package sql

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// args are a statement's arguments by name. They contain secrets, and only the driver gets
// them.
type args map[string]any

// arguments returns the arguments that a statement needs, in its order.
func (s statement) arguments(a args) []any {
	values := make([]any, len(s.params))
	for i, name := range s.params {
		values[i] = a[name]
	}
	return values
}

// change runs the statements one after the other until one of them changes a row, and
// reports whether one did.
func (b *Backend) change(ctx context.Context, a args, statements ...statement) (changed bool, err error) {
	done, err := backend.Turn(ctx, writer{b.pool}, b.writers)
	if err != nil {
		return false, err
	}
	defer done()
	for _, s := range statements {
		err := b.attempt(ctx, func(on session) error {
			done, err := on.execute(ctx, s, s.arguments(a))
			if err != nil {
				return err
			}
			rows, err := done.RowsAffected()
			changed = rows > 0
			return err
		})
		if changed || err != nil {
			return changed, err
		}
	}
	return false, nil
}

// writer names the turn to write to an embedded database, for backend.Turn.
type writer struct{ pool gorm.ConnPool }

// first reads the only row, if there is one.
func (b *Backend) first(ctx context.Context, a args, s statement, row ...any) (found bool, err error) {
	err = b.attempt(ctx, func(on session) (err error) {
		found, err = on.first(ctx, a, s, row...)
		return err
	})
	return found && err == nil, err
}

func (on session) first(ctx context.Context, a args, s statement, row ...any) (found bool, err error) {
	err = on.each(ctx, s, s.arguments(a), func(scan func(...any) error) error {
		found = true
		return scan(row...)
	})
	return found, err
}

// each reads all rows.
func (on session) each(ctx context.Context, s statement, values []any, read func(scan func(...any) error) error) error {
	rows, err := on.query(ctx, s, values)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := read(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// attempts limits the tries of a statement that the database gave up.
const attempts = 4

// attempt runs a statement. If the statement had no effect, and the database says that another
// try may succeed, attempt runs it again.
func (b *Backend) attempt(ctx context.Context, do func(session) error) error {
	return backend.Retry(ctx, attempts, 0, b.givenUp, func() error { return b.run(ctx, do) })
}

// classify says what the database's errors mean.
func classify(err error) error {
	switch {
	case readOnly(err):
		return fmt.Errorf("%w: %w", core.ErrReadOnly, err)
	case quotes(err):
		return errTable
	}
	return err
}

// session is where a statement is executed.
type session struct {
	gorm.ConnPool
	transaction bool
	prepared    *prepared // nil: the text is sent
}

func (on session) text(s statement) string {
	if on.transaction {
		return s.text
	}
	return s.guarded
}

func (on session) execute(ctx context.Context, s statement, values []any) (stdsql.Result, error) {
	if on.prepared == nil {
		return on.ExecContext(ctx, on.text(s), values...)
	}
	stmt, err := on.prepared.statement(ctx, on.ConnPool, on.text(s))
	if err != nil {
		return nil, err
	}
	return stmt.ExecContext(ctx, values...)
}

func (on session) query(ctx context.Context, s statement, values []any) (*stdsql.Rows, error) {
	if on.prepared == nil {
		return on.QueryContext(ctx, on.text(s), values...)
	}
	stmt, err := on.prepared.statement(ctx, on.ConnPool, on.text(s))
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, values...)
}

// run executes a statement, which is committed when run returns.
//
// A session of MySQL or MariaDB can have autocommit off (autocommit=0 in the DSN, the server's
// init_connect, a SET that a program executed on a pooled connection). In such a session a
// write succeeds and is never committed, and a read returns what was stored when the session
// was first used. Sessions of one pool may differ, and poolers exchange them. So each
// statement fails in such a session. It is then executed in a transaction, and so are all
// later statements.
func (b *Backend) run(ctx context.Context, do func(session) error) error {
	if !b.transacts.Load() {
		err := do(session{ConnPool: b.pool, prepared: b.prepared})
		if !uncommitted(err) {
			return err
		}
		b.transacts.Store(true)
	}
	return b.transact(ctx, nil, do)
}

// transact executes statements in one transaction.
func (b *Backend) transact(ctx context.Context, o *stdsql.TxOptions, do func(session) error) error {
	done, err := backend.Turn(ctx, writer{b.pool}, b.writers)
	if err != nil {
		return err
	}
	defer done()
	tx, err := b.begin(ctx, o)
	if err != nil {
		return err
	}
	if err := do(session{ConnPool: tx, transaction: true}); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

// uncommitted reports whether the error is that of a dialect's condition commits: MySQL's
// ER_DATA_OUT_OF_RANGE.
func uncommitted(err error) bool {
	return err != nil && isMySQL(err, 1690) && strings.Contains(err.Error(), "autocommit")
}

var errUncommitted = errors.New("autocommit is off in the connection's session, and the connection pool can't begin transactions: connect with autocommit on")

type transaction interface {
	gorm.ConnPool
	gorm.TxCommitter
}

func (b *Backend) begin(ctx context.Context, o *stdsql.TxOptions) (transaction, error) {
	var begun any
	var err error
	switch pool := b.pool.(type) {
	case gorm.TxBeginner:
		begun, err = pool.BeginTx(ctx, o)
	case gorm.ConnPoolBeginner:
		begun, err = pool.BeginTx(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	if tx, ok := begun.(transaction); ok {
		return tx, nil
	}
	return nil, errUncommitted
}

// givenUp reports errors of statements that had no effect, because another statement was
// quicker or the server closed an idle connection.
func (b *Backend) givenUp(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01", // PostgreSQL: serialization failure, deadlock
		"57P01": // PostgreSQL: terminated by an administrator
		return true
	}
	if isMySQL(err, 1213) { // deadlock
		return true
	}
	if _, prepares := b.pool.(*gorm.PreparedStmtDB); prepares {
		// The first caller prepares the statement for all that need it meanwhile. When
		// that caller leaves, the others get its context's error.
		return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	}
	return false
}

func readOnly(err error) bool {
	if sqlState(err) == "25006" {
		return true
	}
	var sqlite interface{ Code() int }
	if errors.As(err, &sqlite) && sqlite.Code()&0xff == 8 { // SQLITE_READONLY
		return true
	}
	return isMySQL(err, 1290, 1792, 1836)
}

// errTable replaces errors that quote the record.
var errTable = errors.New("the table's columns can't store the record or its key: they differ from those that Migrate creates")

// quotes reports errors that quote a value. Some quote a value that a column doesn't accept:
// PostgreSQL's class 22, "data exception", and MySQL's ER_TRUNCATED_WRONG_VALUE and
// ER_TRUNCATED_WRONG_VALUE_FOR_FIELD. database/sql's quote a stored value that it can't
// convert.
func quotes(err error) bool {
	return strings.HasPrefix(err.Error(), "sql: Scan error") || strings.HasPrefix(sqlState(err), "22") || isMySQL(err, 1292, 1366)
}

// sqlState returns the code of an error that has one, such as an error of pgx.
func sqlState(err error) string {
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		return coded.SQLState()
	}
	return ""
}

// isMySQL reports whether err is an error of MySQL's driver with one of the numbers. It looks
// at the text, "Error 1213 (40001): …", because the driver's error has a field for the number
// and no method, and this package must not import the driver.
func isMySQL(err error, numbers ...int) bool {
	return slices.ContainsFunc(numbers, func(number int) bool {
		return strings.HasPrefix(err.Error(), fmt.Sprintf("Error %d ", number))
	})
}

// prepared are prepared statements. A Backend prepares its statements only on SQLite,
// which needs more time to parse a statement than to execute it. On a server the program
// decides: pgx prepares unless it is configured not to, which a pooler such as PgBouncer
// needs, because it shares sessions; MySQL limits the number for all sessions together
// (max_prepared_stmt_count), and gorm's PrepareStmt or the driver's interpolateParams
// save the same round trip.
type prepared struct {
	mu sync.Mutex
	of map[string]*stdsql.Stmt // by their text
}

// prepare returns the statements of b. It returns nil if the pool isn't one of
// database/sql. The statements are closed when the Backend is garbage-collected.
func prepare(b *Backend) *prepared {
	if _, ok := b.pool.(*stdsql.DB); !ok {
		return nil
	}
	p := &prepared{of: make(map[string]*stdsql.Stmt)}
	runtime.AddCleanup(b, func(p *prepared) { p.close() }, p)
	return p
}

func (p *prepared) statement(ctx context.Context, pool gorm.ConnPool, text string) (*stdsql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.of[text]; s != nil {
		return s, nil
	}
	s, err := pool.PrepareContext(ctx, text)
	if err == nil {
		p.of[text] = s
	}
	return s, err
}

func (p *prepared) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.of {
		_ = s.Close() // the database may already be closed, and the statements with it
	}
}

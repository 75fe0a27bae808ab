package sql

import (
	"context"
	stdsql "database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// row is one of Django's rows as it is read: token is a JSONField, and created the text
// of a DateTimeField.
type row struct {
	token   []byte
	created string
}

// dates is the form in which created_at is compared and written: in microseconds, as
// Django writes it to SQLite.
const dates = "2006-01-02 15:04:05.000000"

// text is the value that python-o365 gave to the field, which made JSON of it: a string
// with the cache, plain or encrypted. If another program gave another value, text is its
// JSON.
func (r row) text() string {
	var text string
	if json.Unmarshal(r.token, &text) == nil {
		return text
	}
	return string(r.token)
}

// version tells the row from others by its date, and by a checksum from its content
// before somebody edited it. It also returns the date, without a time zone.
func (r row) version() (core.Version, time.Time, error) {
	at, err := time.Parse(time.DateTime, r.created)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%w: created_at of the newest row isn't a date", core.ErrCorrupt)
	}
	sum := fnv.New64a()
	sum.Write([]byte(r.text()))
	return core.Version(fmt.Sprintf("%s %016x", at.Format(dates), sum.Sum64())), at, nil
}

func (r row) record(zone *time.Location) (core.Record, error) {
	version, _, err := r.version()
	if err != nil {
		return core.Record{}, err
	}
	data, err := backend.DecodeText(r.text())
	if err != nil {
		return core.Record{}, err
	}
	modified, err := time.ParseInLocation(time.DateTime, r.created, zone)
	return core.Record{Data: data, Version: version, Modified: modified}, err
}

// token is the form that the field gives to a record: a JSON string in ASCII, as Python
// writes it, which columns of any character set accept.
func token(data []byte) ([]byte, error) {
	text, err := json.Marshal(backend.EncodeText(data, nil))
	ascii := make([]byte, 0, len(text))
	for _, c := range string(text) {
		if c < utf8.RuneSelf {
			ascii = append(ascii, byte(c))
			continue
		}
		for _, unit := range utf16.AppendRune(nil, c) {
			ascii = fmt.Appendf(ascii, `\u%04x`, unit)
		}
	}
	return ascii, err
}

// maxText is the largest number of bytes that JSON makes of one.
const maxText = 6

// djangoAttempts limits the attempts of a Save. If several find MySQL's table empty at
// the same time, the database gives up all but one, and then again all but one.
const djangoAttempts = 100

// MaxSize implements [core.SizeLimiter]: 2,666,666 bytes, because JSON may make six bytes
// of one.
func (d *Django) MaxSize() int { return maxSize / maxText }

// Save implements [core.TokenBackend]. It adds a row, as python-o365 does, in a
// transaction of two or three statements.
func (d *Django) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, d.checked(origin.SaveOp(key, rec, d.MaxSize())), func() (core.Version, error) {
		token, err := token(rec.Data)
		if err != nil {
			return "", err
		}
		var saved core.Version
		err = backend.Retry(ctx, djangoAttempts, 0, d.leases.givenUp, func() error {
			return d.leases.transact(ctx, d.sql.isolation, func(on session) (err error) {
				saved, err = d.add(ctx, on, rec.Version, token)
				return err
			})
		})
		if err != nil && !errors.Is(err, core.ErrConflict) && d.isStored(ctx, saved) {
			err = nil // the connection broke before the answer came
		}
		return saved, err
	})
}

// add adds a row, if the newest one has the known version.
func (d *Django) add(ctx context.Context, on session, known core.Version, token []byte) (core.Version, error) {
	if lock := d.sql.lock; lock != "" {
		if _, err := on.ExecContext(ctx, lock); err != nil {
			return "", err
		}
	}
	var newest row
	found, err := on.first(ctx, nil, d.sql.locked, &newest.token, &newest.created)
	if err != nil {
		return "", err
	}
	stored, created := core.Absent, time.Now().In(d.o.Location).Format(dates)
	if found {
		var at time.Time
		if stored, at, err = newest.version(); err != nil {
			return "", err
		}
		// The row must be the newest, whatever this clock says: python-o365 reads the row
		// with the latest date.
		created = max(created, at.Add(time.Microsecond).Format(dates))
	}
	if known != core.AnyVersion && known != stored {
		return "", core.ErrConflict
	}
	if _, err := on.ExecContext(ctx, d.sql.insert.text, d.sql.insert.arguments(args{"token": string(token), "created": created})...); err != nil {
		return "", err
	}
	version, _, err := row{token, created}.version()
	return version, err
}

func (d *Django) isStored(ctx context.Context, version core.Version) bool {
	rec, err := d.load(ctx)
	return err == nil && rec.Version == version
}

// djangoStatements are those that a Django backend executes.
type djangoStatements struct {
	newest, exists, ping    statement
	removeAll, removeNewest statement

	// A Save begins a transaction with lock, unless that is empty, reads the newest row
	// by locked, and adds one by insert. Meanwhile no other program can add one.
	isolation      *stdsql.TxOptions
	lock           string
	locked, insert statement
}

// djangoDialect has a database's forms of those statements.
type djangoDialect struct {
	created     string // the text of created_at
	token, date string // the values that are written to a JSONField and a DateTimeField

	isolation    *stdsql.TxOptions
	lock, locked string // see djangoStatements; locked is the end of that statement
}

// djangoDialects are by gorm's names for the databases.
var djangoDialects = map[string]djangoDialect{
	"sqlite": {
		// Without the CAST some drivers make a time of it.
		created: `CAST(created_at AS TEXT)`,
		token:   `@token`,
		date:    `@created`,
		// A statement that writes first locks the file. A transaction that reads first
		// may find that it can't write any more.
		lock: `UPDATE {table} SET updated_at = updated_at WHERE 1 = 0`,
	},
	"postgres": {
		created: `to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`,
		token:   `CAST(CAST(@token AS TEXT) AS JSONB)`,
		date:    `CAST(CAST(@created AS TEXT) AS TIMESTAMP) AT TIME ZONE 'UTC'`,
		lock:    `LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE`, // readers can go on
	},
	"mysql": {
		created: `CAST(created_at AS CHAR)`,
		token:   `@token`,
		date:    `@created`,
		// At this level the read locks the rows that it read and the gap after them.
		isolation: &stdsql.TxOptions{Isolation: stdsql.LevelRepeatableRead},
		locked:    ` FOR UPDATE`,
	},
}

// newDjangoStatements are those for the table of a TokenModel.
func newDjangoStatements(database, table string) djangoStatements {
	d, c := dialects[database], djangoDialects[database]
	fill := strings.NewReplacer("{table}", table, "{created}", c.created, "{token}", c.token, "{date}", c.date).Replace
	one := func(text string) statement { return d.statement(fill(text)) }
	const newest = `SELECT token, {created} FROM {table} WHERE 1 = 1 ORDER BY created_at DESC LIMIT 1`
	return djangoStatements{
		newest:    one(newest),
		exists:    one(`SELECT 1 FROM {table} WHERE 1 = 1 LIMIT 1`),
		ping:      one(`SELECT token, created_at, updated_at FROM {table} WHERE 1 = 0`),
		removeAll: one(`DELETE FROM {table} WHERE 1 = 1`),
		// MySQL reads a table from which it deletes only in a separate query.
		removeNewest: one(`DELETE FROM {table} WHERE created_at = (SELECT latest FROM (SELECT MAX(created_at) AS latest FROM {table}) AS newest)`),

		isolation: c.isolation,
		lock:      fill(c.lock),
		locked:    one(newest + c.locked),
		insert:    one(`INSERT INTO {table} (token, created_at, updated_at) VALUES ({token}, {date}, {date})`),
	}
}

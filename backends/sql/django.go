package sql

import (
	"context"
	"fmt"
	"iter"
	"time"

	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// DjangoOptions configures a [Django]. The zero value is ready for use.
type DjangoOptions struct {
	// Leases is the table of the leases, in the form that [New]'s Backend has;
	// DefaultTable if empty. Django's table has no columns for them.
	Leases string

	// DeleteNewest makes Delete remove the newest row alone, as python-o365 does. The row
	// before it is then the record again. Without it Delete removes all rows.
	DeleteNewest bool

	// Location is Django's time zone (TIME_ZONE in its settings), if USE_TZ is False and
	// the database is SQLite, MySQL or MariaDB: there dates are local ones. Nil means
	// UTC, which dates have if USE_TZ is True.
	Location *time.Location
}

// Django is a [core.TokenBackend] on the table of the TokenModel in which python-o365's
// DjangoTokenBackend keeps its tokens. Both may use the table at the same time.
//
//	backend, err := sql.NewDjango(db, "myapp_tokenmodel", sql.DjangoOptions{})
//	if err != nil {
//		return err
//	}
//	if err := backend.Migrate(ctx); err != nil { // the table for leases; Django makes the other
//		return err
//	}
//	store := core.NewStore(backend) // its only key is "myapp_tokenmodel"
//
// The table has one record, whose key is the name of the table: any other key is
// [core.ErrInvalidKey]. The record is the newest row by created_at, as it is for
// python-o365, and a Save adds a row. The older rows, which contain refresh tokens, stay
// until Delete removes them.
//
// Save compares and writes while no other program can write to the table, not even
// python-o365. Its new row is the newest, whatever the clocks of the other writers say.
//
// Leases are kept in another table, and hold among programs that use this package.
// python-o365 knows no leases: it may refresh while another program does, and it saves
// without a comparison.
type Django struct {
	leases *Backend // the rows are read through its pool, too
	o      DjangoOptions
	table  string
	sql    djangoStatements
}

var (
	_ core.TokenBackend = (*Django)(nil)
	_ core.Leaser       = (*Django)(nil)
	_ core.Lister       = (*Django)(nil)
	_ core.Locator      = (*Django)(nil)
	_ core.Pinger       = (*Django)(nil)
	_ core.SizeLimiter  = (*Django)(nil)
)

// NewDjango returns the backend of the table of a TokenModel. The table has the names of
// its app and its class, in lower case: "myapp_tokenmodel". A schema may come before it.
// As with [New], the caller closes db, and NewDjango asks it nothing.
func NewDjango(db *gorm.DB, table string, o DjangoOptions) (*Django, error) {
	d, err := newDjango(db, table, o)
	return d, origin.Fail("new", "", err)
}

func newDjango(db *gorm.DB, table string, o DjangoOptions) (*Django, error) {
	leases, err := newBackend(db, Options{Table: o.Leases, Prefix: "django:"})
	if err != nil {
		return nil, err
	}
	if !tableName.MatchString(table) {
		return nil, fmt.Errorf("the table is %q, which can't be a table's name", table)
	}
	if o.Location == nil || db.Name() == "postgres" {
		o.Location = time.UTC
	}
	return &Django{leases: leases, o: o, table: table, sql: newDjangoStatements(db.Name(), db.Statement.Quote(table))}, nil
}

// Place implements [core.Locator]. Backends with the same pool of connections and the
// same table have one place.
func (d *Django) Place() any {
	return [...]any{d.leases.pool, d.table}
}

func (d *Django) checked(op backend.Op) backend.Op {
	op.Classify = classify
	op.CheckKey = func(key string) error {
		if key != d.table {
			return fmt.Errorf("%w: the table has only one record, with the key %q", core.ErrInvalidKey, d.table)
		}
		return nil
	}
	return op
}

// Load implements [core.TokenBackend], with one statement.
func (d *Django) Load(ctx context.Context, key string) (core.Record, error) {
	return backend.DoValue(ctx, d.checked(origin.Op("load", key)), func() (core.Record, error) { return d.load(ctx) })
}

func (d *Django) load(ctx context.Context) (core.Record, error) {
	done, err := d.leases.turn(ctx)
	if err != nil {
		return core.Record{}, err
	}
	defer done()
	var r row
	found, err := d.leases.first(ctx, nil, d.sql.newest, &r.token, &r.created)
	switch {
	case err != nil:
		return core.Record{}, err
	case !found:
		return core.Record{}, core.ErrNotFound
	}
	return r.record(d.o.Location)
}

// Check implements [core.TokenBackend], with one statement.
func (d *Django) Check(ctx context.Context, key string) (bool, error) {
	return backend.DoValue(ctx, d.checked(origin.Op("check", key)), func() (bool, error) {
		return d.leases.first(ctx, nil, d.sql.exists, new(int))
	})
}

// Delete implements [core.TokenBackend], with one statement. It removes all rows, or with
// DjangoOptions.DeleteNewest the newest.
func (d *Django) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, d.checked(origin.Op("delete", key)), func() error {
		remove := d.sql.removeAll
		if d.o.DeleteNewest {
			remove = d.sql.removeNewest
		}
		_, err := d.leases.change(ctx, nil, remove)
		return err
	})
}

// Acquire implements [core.Leaser], as [Backend.Acquire] does in the table for leases.
func (d *Django) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return backend.DoValue(ctx, d.checked(origin.Op("acquire", key)), func() (core.Lease, error) { return d.leases.Acquire(ctx, key, ttl) })
}

// ShouldRefresh implements [core.TokenBackend] with [core.Coordinate] and the leases of
// Acquire.
func (d *Django) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return origin.Coordinate(ctx, d, d.leases, key, req)
}

// Keys implements [core.Lister]: there is one key, if there is a row.
func (d *Django) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		there, err := d.Check(ctx, d.table)
		if there {
			yield(d.table)
		}
		return err
	})
}

// Ping implements [core.Pinger]. It asks for both tables and their columns.
func (d *Django) Ping(ctx context.Context) error {
	return backend.Do(ctx, origin.StoreOp("ping"), func() error {
		if _, err := d.leases.first(ctx, nil, d.sql.ping); err != nil {
			return err
		}
		return d.leases.Ping(ctx)
	})
}

// Migrate makes the table for leases if it doesn't exist. Django's migrations make the
// other.
func (d *Django) Migrate(ctx context.Context) error { return d.leases.Migrate(ctx) }

// ReadDjango reads the record that python-o365's DjangoTokenBackend would read in the
// table of a TokenModel. With it a program moves to a Backend:
//
//	rec, err := sql.ReadDjango(ctx, db, "myapp_tokenmodel")
//	if err != nil {
//		return err
//	}
//	_, err = backend.Save(ctx, "ana@contoso.com", rec)
//
// The record's version is core.Absent, so this Save overwrites nothing. An empty table is
// core.ErrNotFound.
func ReadDjango(ctx context.Context, db *gorm.DB, table string) (core.Record, error) {
	d, err := NewDjango(db, table, DjangoOptions{})
	if err != nil {
		return core.Record{}, err
	}
	rec, err := d.Load(ctx, table)
	rec.Version = core.Absent
	return rec, err
}

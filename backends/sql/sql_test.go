package sql

import (
	"bytes"
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/lateanswer"
)

func save(t *testing.T, b *Backend, key, data string, v core.Version) core.Version {
	t.Helper()
	v, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: v})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// operation is one of a Backend's; the statements are what it executes.
type operation struct {
	name       string
	do         func() error
	statements int64
}

// operations are everything that a refresh and its record need, in an order
// that works, again and again.
func (d database) operations(ctx context.Context, b *Backend) []operation {
	var version core.Version
	var lease core.Lease
	data := []byte("{}")
	return []operation{
		{"Save with Absent", func() (err error) {
			version, err = b.Save(ctx, "k", core.Record{Data: data, Version: core.Absent})
			return err
		}, 1},
		{"Save with a version", func() error {
			_, err := b.Save(ctx, "k", core.Record{Data: data, Version: version})
			return err
		}, 1},
		{"Save with AnyVersion", func() error {
			_, err := b.Save(ctx, "k", core.Record{Data: data, Version: core.AnyVersion})
			return err
		}, 1},
		{"Load", func() error { _, err := b.Load(ctx, "k"); return err }, 1},
		{"Check", func() error { _, err := b.Check(ctx, "k"); return err }, 1},
		{"Acquire", func() (err error) {
			lease, err = b.Acquire(ctx, "k", time.Minute)
			return err
		}, map[string]int64{"sqlite": 2, "postgres": 1, "mysql": 1}[d.name]},
		{"Acquire of a held lease", func() error {
			if _, err := b.Acquire(ctx, "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
				return fmt.Errorf("Acquire = %w", err)
			}
			return nil
		}, map[string]int64{"sqlite": 1, "postgres": 1, "mysql": 2}[d.name]},
		{"Renew", func() error { return lease.Renew(ctx, time.Minute) }, 1},
		{"Release", func() error { return lease.Release(ctx) }, 1},
		{"Keys", func() error {
			for _, err := range b.Keys(ctx) {
				return err
			}
			return errors.New("no keys")
		}, 1},
		{"Ping", func() error { return b.Ping(ctx) }, 1},
		{"Delete", func() error { return b.Delete(ctx, "k") }, 1},
		{"Load of nothing", func() error {
			if _, err := b.Load(ctx, "k"); !errors.Is(err, core.ErrNotFound) {
				return fmt.Errorf("Load = %w", err)
			}
			return nil
		}, 1},
	}
}

func TestEveryOperationIsOneStatement(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		b, w := d.openWired(t, Options{Table: newTable()})
		for _, op := range d.operations(t.Context(), b) {
			before := w.statements.Load()
			if err := op.do(); err != nil {
				t.Errorf("%s: %v", op.name, err)
			}
			if n := w.statements.Load() - before; n != op.statements {
				t.Errorf("%s is %d statements, want %d", op.name, n, op.statements)
			}
		}
	})
}

// A connection can break after the database has done what it was told.
func TestASaveWhoseAnswerIsLostIsFoundAgain(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		b, w := d.openWired(t, Options{Table: newTable()})
		deafly := func(data string, v core.Version) core.Version {
			w.deaf.Store(true)
			v = save(t, b, "k", data, v)
			if rec, err := b.Load(t.Context(), "k"); err != nil || rec.Version != v || string(rec.Data) != data {
				t.Errorf("saved %s as %s, Load = %s as %s, %v", data, v, rec.Data, rec.Version, err)
			}
			return v
		}
		deafly("2", deafly("1", core.Absent))
		known := deafly("3", core.AnyVersion)
		for _, stale := range []core.Version{"1", core.Absent} {
			w.deaf.Store(true)
			_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("stale"), Version: stale})
			if !errors.Is(err, errCut) {
				t.Errorf("a save in vain whose answer is lost = %v", err)
			}
		}
		w.fails.Store(-1)
		if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("3"), Version: known}); !errors.Is(err, errCut) {
			t.Errorf("Save that never left = %v", err)
		}
		w.fails.Store(0)
		if rec, err := b.Load(t.Context(), "k"); err != nil || rec.Version != known {
			t.Errorf("after saves in vain Load = %s as %s, %v", rec.Data, rec.Version, err)
		}

		w.deaf.Store(true)
		lease, err := b.Acquire(t.Context(), "k", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if w.deaf.Load() {
			t.Error("no answer was lost: the test proves nothing")
		}
		if _, err := b.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("Acquire of a held lease = %v", err)
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestADeletedRecordAndAReleasedLeaseLeaveNoRow(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		table, db := newTable(), d.connect(t)
		b := d.open(t, Options{Table: table})
		rows := func() (n int) {
			if err := db.Raw("SELECT COUNT(*) FROM " + table).Row().Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		save(t, b, "deleted", "1", core.AnyVersion)
		if err := b.Delete(t.Context(), "deleted"); err != nil {
			t.Fatal(err)
		}
		if n := rows(); n != 0 {
			t.Errorf("after Delete there are %d rows", n)
		}
		save(t, b, "deleted under its lease", "1", core.AnyVersion)
		for _, key := range []string{"deleted under its lease", "never saved"} {
			lease, err := b.Acquire(t.Context(), key, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			if n := rows(); n != 1 {
				t.Errorf("%s: while the lease is held there are %d rows", key, n)
			}
			if err := lease.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := rows(); n != 0 {
				t.Errorf("%s: after Release there are %d rows", key, n)
			}
		}
	})
}

func TestModifiedIsTheDatabasesTime(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		b := d.open(t, Options{Table: newTable()})
		for _, v := range []core.Version{core.Absent, core.AnyVersion} {
			begun := time.Now()
			save(t, b, "k", "1", v)
			rec, err := b.Load(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			// Modified is by this machine's clock, to SQLite's millisecond.
			if rec.Modified.Before(begun.Add(-2*time.Millisecond)) || rec.Modified.After(time.Now().Add(2*time.Millisecond)) {
				t.Errorf("saved at %v, Modified is %v", begun, rec.Modified)
			}
		}
	})
}

func TestABackendSeesOnlyTheRecordsOfItsPrefix(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		table := newTable()
		a, b := d.open(t, Options{Table: table, Prefix: "a:"}), d.open(t, Options{Table: table, Prefix: "b:"})
		for i := range 1100 { // more than two pages
			save(t, a, fmt.Sprintf("k%04d", i), "1", core.AnyVersion)
		}
		save(t, b, "k", "2", core.Absent)
		var keys []string
		for key, err := range a.Keys(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		if len(keys) != 1100 || keys[0] != "k0000" || !slices.IsSorted(keys) {
			t.Errorf("a has %d keys", len(keys))
		}
		for key := range b.Keys(t.Context()) {
			if key != "k" {
				t.Errorf("b has the key %q", key)
			}
		}
	})
}

// The files in ddl make the same table as Migrate: the database tells the same of each
// column.
func TestMigrateMakesTheTableOfTheDDLFiles(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		db := d.connect(t)
		file, err := os.ReadFile(dialects[d.name].ddl)
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Exec(string(file)).Error; err != nil {
			t.Fatal(err)
		}
		migrated := newTable()
		d.open(t, Options{Table: migrated})
		byFile, byMigrate := columns(t, db, DefaultTable), columns(t, db, migrated)
		if len(byFile) != 6 || !reflect.DeepEqual(byFile, byMigrate) {
			t.Errorf("the file makes\n%v\nMigrate makes\n%v", byFile, byMigrate)
		}
		if err := d.open(t, Options{}).Ping(t.Context()); err != nil {
			t.Errorf("Ping of the file's table: %v", err)
		}
	})
}

func columns(t *testing.T, db *gorm.DB, table string) (all []string) {
	t.Helper()
	types, err := db.Migrator().ColumnTypes(table)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range types {
		kind, _ := c.ColumnType()
		null, _ := c.Nullable()
		primary, _ := c.PrimaryKey()
		length, _ := c.Length()
		value, _ := c.DefaultValue()
		all = append(all, fmt.Sprintf("%s %s(%d) null=%v primary=%v default=%q", c.Name(), kind, length, null, primary, value))
	}
	return all
}

func TestManyMigrateAtOnce(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		table := newTable()
		errs := make(chan error)
		const many = 8
		for range many {
			db := d.connect(t)
			b, err := New(db, Options{Table: table})
			if err != nil {
				t.Fatal(err)
			}
			go func() { errs <- b.Migrate(context.Background()) }()
		}
		for range many {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestWithoutATableThereIsAnError(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		db := d.connect(t)
		b, err := New(db, Options{Table: "not_there"})
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Ping(t.Context()); err == nil {
			t.Error("Ping = nil")
		}
		if _, err := b.Load(t.Context(), "k"); err == nil || errors.Is(err, core.ErrNotFound) {
			t.Errorf("Load = %v", err)
		}
	})
}

// Databases quote what a column of another type doesn't take.
func TestAValueOfAnotherProgramIsNotQuotedInErrors(t *testing.T) {
	d, o := startSQLite(t), Options{Table: newTable()}
	b := d.open(t, o)
	save(t, b, "k", "1", core.AnyVersion)
	execute(t, d.connect(t), "UPDATE "+o.Table+" SET version = 's3cret'") // SQLite's columns take anything
	if _, err := b.Load(t.Context(), "k"); !errors.Is(err, errTable) || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("Load = %v", err)
	}
}

func TestAnErrorOfAnotherTableDoesNotQuoteTheRecord(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		if d.name == "sqlite" {
			return // any column takes anything
		}
		simple := d // as text, and not as parameters
		simple.dsn += map[string]string{"postgres": " default_query_exec_mode=simple_protocol", "mysql": "?interpolateParams=true"}[d.name]
		table := newTable()
		execute(t, d.connect(t), "CREATE TABLE "+table+" (record_key VARCHAR(255) PRIMARY KEY, version BIGINT, modified BIGINT, data INTEGER)")
		for _, d := range []database{d, simple} {
			b, err := New(d.connect(t), Options{Table: table})
			if err != nil {
				t.Fatal(err)
			}
			_, err = b.Save(t.Context(), "k", core.Record{Data: []byte("s3cret"), Version: core.AnyVersion})
			if !errors.Is(err, errTable) {
				t.Errorf("Save = %v", err)
			}
		}
	})
}

// gorm's logger prints statements with their parameters.
func TestGormLogsNoTokens(t *testing.T) {
	d := startSQLite(t)
	db := d.connect(t)
	var printed bytes.Buffer
	db.Logger = logger.New(log.New(&printed, "", 0), logger.Config{LogLevel: logger.Info})
	b, err := New(db, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // without a table, and with it
		_, _ = b.Save(t.Context(), "k", core.Record{Data: []byte("s3cret"), Version: core.AnyVersion})
		_, _ = b.Load(t.Context(), "k")
		_ = b.Migrate(t.Context())
	}
	if printed.Len() > 0 {
		t.Errorf("gorm printed %q", &printed)
	}
}

func TestAReadOnlyDatabaseSaysSo(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		table := newTable()
		save(t, d.open(t, Options{Table: table}), "k", "1", core.Absent)
		switch d.name {
		case "sqlite":
			d.dsn += "&_pragma=query_only(1)"
		case "postgres":
			d.dsn += " default_transaction_read_only=on"
		case "mysql":
			d.dsn += "?tx_read_only=1"
		}
		db := d.connect(t)
		b, err := New(db, Options{Table: table})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Load(t.Context(), "k"); err != nil {
			t.Error(err)
		}
		if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: core.AnyVersion}); !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("Save = %v, want ErrReadOnly", err)
		}
		if _, err := b.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("Acquire = %v, want ErrReadOnly", err)
		}
	})
}

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	db := startSQLite(t).connect(t)
	if err := db.Transaction(func(tx *gorm.DB) error {
		if _, err := New(tx, Options{}); err == nil {
			t.Error("a transaction: no error")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		db *gorm.DB
		o  Options
	}{
		"no database":             {nil, Options{}},
		"an empty gorm.DB":        {&gorm.DB{}, Options{}},
		"no configuration":        {&gorm.DB{Statement: db.Statement}, Options{}},
		"a pool that is nil":      {&gorm.DB{Config: db.Config, Statement: &gorm.Statement{DB: db, ConnPool: (*stdsql.DB)(nil)}}, Options{}},
		"a dialector that is nil": {&gorm.DB{Config: &gorm.Config{Dialector: (*sqlite.Dialector)(nil)}, Statement: db.Statement}, Options{}},
		"a table that is a query": {db, Options{Table: "t; DROP TABLE users"}},
		"a long prefix":           {db, Options{Prefix: strings.Repeat("p", 106)}},
		"a prefix with NUL":       {db, Options{Prefix: "a\x00"}},
		"a dry run":               {db.Session(&gorm.Session{DryRun: true}), Options{}},
		"listening to SQLite":     {db, Options{Listen: func(context.Context, string, func(string)) error { return nil }}},
	} {
		var known *core.Error
		if _, err := New(c.db, c.o); !errors.As(err, &known) {
			t.Errorf("%s: New = %v", name, err)
		}
	}
}

// preparer is a pool whose first statement is prepared for somebody who hangs
// up meanwhile.
type preparer struct {
	gorm.ConnPool
	hungUp error
}

func (p *preparer) PrepareContext(ctx context.Context, query string) (*stdsql.Stmt, error) {
	if err := p.hungUp; err != nil {
		p.hungUp = nil
		return nil, err
	}
	return p.ConnPool.PrepareContext(ctx, query)
}

func TestAContextErrorOfTheDatabaseIsNotTheCallers(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		table := newTable()
		d.open(t, Options{Table: table})
		for _, hungUp := range []error{context.Canceled, context.DeadlineExceeded} {
			db := d.connect(t)
			db.ConnPool = &preparer{db.ConnPool, hungUp}
			b, err := New(db.Session(&gorm.Session{PrepareStmt: true}), Options{Table: table})
			if err != nil {
				t.Fatal(err)
			}
			for _, op := range d.operations(t.Context(), b) {
				if err := op.do(); err != nil {
					t.Errorf("%s: %v", op.name, err)
				}
			}
		}
	})
}

// MySQL and MariaDB are one dialect, with what both have: no RETURNING, which
// MySQL lacks, and no name for an inserted row, which MariaDB lacks.
func TestMySQLGetsOnlyStatementsThatMariaDBAcceptsToo(t *testing.T) {
	said := fmt.Sprint(dialects["mysql"].statements("t", false))
	if found := regexp.MustCompile(`(?i)returning|as new|on conflict|\$1|[^@]@[^@]`).FindString(said); found != "" {
		t.Errorf("there is %q in\n%s", found, said)
	}
	if !strings.Contains(said, "INSERT IGNORE INTO t ") {
		t.Errorf("these aren't the statements:\n%s", said)
	}
}

func TestACallerWhoLeavesLeavesNoLease(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		o := Options{Table: newTable()}
		another := d.open(t, o)
		held, w := d.openWired(t, o)
		w.gate = lateanswer.NewGate()
		lateanswer.NoLeaseStays(t, held, another, w.gate, nil)
	})
}

func TestBackendsThatKeepTheSameRecordsAreOnePlace(t *testing.T) {
	at := func(db *gorm.DB, o Options) any {
		b, err := New(db, o)
		if err != nil {
			t.Fatal(err)
		}
		return b.Place()
	}
	d := startSQLite(t)
	db := d.connect(t)
	if first, second := at(db, Options{}), at(db.Session(&gorm.Session{}), Options{Table: DefaultTable}); first != second {
		t.Errorf("%v and %v are two", first, second)
	}
	for name, other := range map[string]any{
		"another prefix": at(db, Options{Prefix: "a"}),
		"another table":  at(db, Options{Table: "a"}),
		"another pool":   at(d.connect(t), Options{}),
	} {
		if other == at(db, Options{}) {
			t.Errorf("%s: one place", name)
		}
	}
}

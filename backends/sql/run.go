package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/core"
)

// args are a statement's parameters by name. They hold secrets, and go to the
// driver and nowhere else.
type args map[string]any

// values is args as gorm takes them. A statement without names must get none.
func (a args) values() []any {
	if a == nil {
		return nil
	}
	return []any{map[string]any(a)}
}

// change runs the statements one after the other until one of them changes a
// row, and reports whether one did.
func (b *Backend) change(ctx context.Context, a args, statements ...string) (bool, error) {
	for _, statement := range statements {
		var rows int64
		err := b.attempt(ctx, func(db *gorm.DB) error {
			done := db.Exec(statement, a.values()...)
			rows = done.RowsAffected
			return done.Error
		})
		if rows > 0 || err != nil {
			return rows > 0, err
		}
	}
	return false, nil
}

// query returns what scan makes of each row.
func query[T any](ctx context.Context, b *Backend, a args, statement string, scan func(row scanner) (T, error)) (all []T, err error) {
	err = b.attempt(ctx, func(db *gorm.DB) error {
		all = nil
		rows, err := db.Raw(statement, a.values()...).Rows()
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			one, err := scan(rows)
			if err != nil {
				return err
			}
			all = append(all, one)
		}
		return rows.Err()
	})
	return all, err
}

// exists reports whether a statement finds a row of the key.
func (b *Backend) exists(ctx context.Context, key, statement string) (bool, error) {
	rows, err := query(ctx, b, args{"key": key}, statement, func(scanner) (struct{}, error) { return struct{}{}, nil })
	return len(rows) > 0, err
}

type scanner interface{ Scan(dest ...any) error }

// attempts is how often a statement is tried that the database gave up.
const attempts = 4

// attempt runs a statement, again if the database did nothing of it and says
// that it is worth another try.
func (b *Backend) attempt(ctx context.Context, run func(db *gorm.DB) error) error {
	var err error
	for range attempts {
		err = run(b.db.WithContext(ctx))
		if err == nil || !givenUp(err) || ctx.Err() != nil {
			break
		}
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		return fmt.Errorf("%w: %w", ctx.Err(), err) // some drivers only say that they were interrupted
	case readOnly(err):
		return fmt.Errorf("%w: %w", core.ErrReadOnly, err)
	}
	return err
}

// givenUp reports errors of statements that were rolled back, because another
// was quicker or the server closed an idle connection.
func givenUp(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01", // PostgreSQL: serialization failure, deadlock
		"57P01": // PostgreSQL: terminated by an administrator
		return true
	}
	return isMySQL(err, 1213) // deadlock
}

func readOnly(err error) bool {
	if sqlState(err) == "25006" {
		return true
	}
	var sqlite interface{ Code() int }
	if errors.As(err, &sqlite) && sqlite.Code()&0xff == 8 { // SQLITE_READONLY
		return true
	}
	return isMySQL(err, 1290) || isMySQL(err, 1792) || isMySQL(err, 1836)
}

// sqlState is the code of an error that has one, as those of pgx do.
func sqlState(err error) string {
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		return coded.SQLState()
	}
	return ""
}

// isMySQL goes by the text, "Error 1213 (40001): …": the driver's error has a
// field for the number and no method, and its type is not ours to import.
func isMySQL(err error, number int) bool {
	return strings.HasPrefix(err.Error(), fmt.Sprintf("Error %d ", number))
}

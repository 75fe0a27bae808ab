//go:build unix

package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/core"
)

// The grants that README asks for are enough, and none is too many. The table
// is in a schema of its own, since everybody may do everything in MariaDB's
// database test.
func TestTheGrantsOfTheReadmeAreEnoughAndNotTooMany(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"postgres", "mariadb"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := starters[name](t)
			admin, schema := d.connect(t), newTable()
			table := schema + ".tokens"
			execute(t, admin, "CREATE SCHEMA "+schema)
			maker := d.user(t, admin, schema, "maker")
			if d.name == "postgres" {
				execute(t, admin, "GRANT CREATE ON SCHEMA "+schema+" TO "+maker.account)
			} else {
				execute(t, admin, "GRANT CREATE ON "+schema+".* TO "+maker.account)
			}
			stranger := d.user(t, admin, schema, "stranger")
			if err := stranger.backend(t, table).Migrate(t.Context()); err == nil {
				t.Error("Migrate by a stranger = nil")
			}
			if err := maker.backend(t, table).Migrate(t.Context()); err != nil {
				t.Errorf("Migrate with CREATE: %v", err)
			}
			if _, err := stranger.backend(t, table).Check(t.Context(), "k"); err == nil {
				t.Error("Check by a stranger = nil")
			}

			all := []string{"SELECT", "INSERT", "UPDATE", "DELETE"}
			for _, missing := range append(all, "nothing") {
				grants := slices.DeleteFunc(slices.Clone(all), func(g string) bool { return g == missing })
				u := d.user(t, admin, schema, "without_"+strings.ToLower(missing))
				execute(t, admin, "GRANT "+strings.Join(grants, ", ")+" ON "+table+" TO "+u.account)
				if err := everything(t.Context(), u.backend(t, table)); (err == nil) != (missing == "nothing") {
					t.Errorf("with %v: %v", grants, err)
				}
			}

			reader := d.user(t, admin, schema, "reader")
			execute(t, admin, "GRANT SELECT ON "+table+" TO "+reader.account)
			if err := reading(t.Context(), reader.backend(t, table)); err != nil {
				t.Errorf("with SELECT: %v", err)
			}
		})
	}
}

func everything(ctx context.Context, b *Backend) error {
	_, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{
		Seen: core.AnyVersion,
		Refresh: func(ctx context.Context, current core.Record) error {
			_, err := b.Save(ctx, "k", core.Record{Data: []byte("{}"), Version: current.Version})
			return err
		},
	})
	if err != nil {
		return fmt.Errorf("refresh: %w", err)
	}
	if err := reading(ctx, b); err != nil {
		return err
	}
	return b.Delete(ctx, "k")
}

// reading includes Migrate, which is content with a table that is there.
func reading(ctx context.Context, b *Backend) error {
	if _, err := b.Load(ctx, "k"); err != nil && !errors.Is(err, core.ErrNotFound) {
		return err
	}
	if _, err := b.Check(ctx, "k"); err != nil {
		return err
	}
	for _, err := range b.Keys(ctx) {
		if err != nil {
			return err
		}
	}
	if err := b.Ping(ctx); err != nil {
		return err
	}
	return b.Migrate(ctx)
}

// user is a database as one of its users sees it.
type user struct {
	database
	account string // as GRANT names it
}

func (d database) user(t *testing.T, admin *gorm.DB, schema, name string) user {
	t.Helper()
	name = schema + "_" + name
	if d.name == "mysql" {
		u := user{d, "'" + name + "'@'127.0.0.1'"}
		execute(t, admin, "CREATE USER "+u.account)
		u.dsn = strings.Replace(d.dsn, "root@", name+"@", 1)
		return u
	}
	u := user{d, name}
	execute(t, admin, "CREATE ROLE "+name+" LOGIN")
	execute(t, admin, "GRANT USAGE ON SCHEMA "+schema+" TO "+name)
	u.dsn = strings.Replace(d.dsn, "user=postgres", "user="+name, 1)
	return u
}

func (u user) backend(t *testing.T, table string) *Backend {
	t.Helper()
	b, err := New(u.connect(t), Options{Table: table})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The grants that README asks for on Django's table are enough, and none is too
// many.
func TestTheGrantsOnDjangosTableAreEnoughAndNotTooMany(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"postgres", "mariadb"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := starters[name](t)
			admin, schema := d.connect(t), newTable()
			table := schema + ".tokenmodel"
			execute(t, admin, "CREATE SCHEMA "+schema)
			execute(t, admin, "CREATE TABLE "+table+" "+djangoDDL[d.name])
			all := []string{"SELECT", "INSERT", "DELETE"}
			for _, missing := range append(all, "nothing") {
				grants := slices.DeleteFunc(slices.Clone(all), func(g string) bool { return g == missing })
				u := d.user(t, admin, schema, "django_without_"+strings.ToLower(missing))
				execute(t, admin, "GRANT "+strings.Join(grants, ", ")+" ON "+table+" TO "+u.account)
				b, err := NewDjango(u.connect(t), table, DjangoOptions{})
				if err != nil {
					t.Fatal(err)
				}
				_, err = b.Save(t.Context(), table, core.Record{Data: []byte("{}"), Version: core.AnyVersion})
				if err == nil {
					_, err = b.Load(t.Context(), table)
				}
				if err == nil {
					err = b.Delete(t.Context(), table)
				}
				if (err == nil) != (missing == "nothing") {
					t.Errorf("with %v: %v", grants, err)
				}
			}
		})
	}
}

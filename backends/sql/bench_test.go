//go:build unix

package sql

import (
	"bytes"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

// The bare calls are those of database/sql that a program would write that
// wants nothing but its bytes, on the same pool of connections.
func BenchmarkSideBySide(b *testing.B) {
	for name, start := range starters {
		b.Run(name, func(b *testing.B) {
			d := start(b)
			backend, w := d.openWired(b, Options{Table: newTable()})
			data := bytes.Repeat([]byte("x"), 6<<10)
			v, err := backend.Save(b.Context(), "k", core.Record{Data: data})
			if err != nil {
				b.Fatal(err)
			}
			bare := newTable()
			for _, statement := range []string{
				"CREATE TABLE " + bare + " (id INTEGER PRIMARY KEY, data " + map[string]string{"postgres": "BYTEA", "mysql": "MEDIUMBLOB", "sqlite": "BLOB"}[d.name] + ", version BIGINT)",
				"INSERT INTO " + bare + " VALUES (1, NULL, 0)",
			} {
				if _, err := w.DB.Exec(statement); err != nil {
					b.Fatal(err)
				}
			}
			one, two := "?", "?"
			if d.name == "postgres" {
				one, two = "$1", "$2"
			}
			update := "UPDATE " + bare + " SET data = " + one + ", version = version + 1 WHERE id = " + two
			query := "SELECT data, version FROM " + bare + " WHERE id = " + one

			b.Run("save/bare", func(b *testing.B) {
				for b.Loop() {
					if _, err := w.DB.ExecContext(b.Context(), update, data, 1); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("save/backend", func(b *testing.B) {
				for b.Loop() {
					if v, err = backend.Save(b.Context(), "k", core.Record{Data: data, Version: v}); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("load/bare", func(b *testing.B) {
				for b.Loop() {
					var got []byte
					var version int64
					if err := w.DB.QueryRowContext(b.Context(), query, 1).Scan(&got, &version); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("load/backend", func(b *testing.B) {
				for b.Loop() {
					if _, err := backend.Load(b.Context(), "k"); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

//go:build unix

package sql

import (
	"bytes"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/sidebyside"
)

// BenchmarkSideBySide takes turns with the bare statement that moves the same
// bytes through database/sql, on the same pool and a table of the same shape,
// so that a machine which others use too is as slow for both. It reports the
// medians and their ratio.
func BenchmarkSideBySide(b *testing.B) {
	for name, start := range starters {
		b.Run(name, func(b *testing.B) {
			d := start(b)
			if d.name == "mysql" {
				d.prepares = true                  // as README wants it
				d.dsn += "?interpolateParams=true" // the bare statements are one round trip, too
			}
			const key = "ana@contoso.com"
			// In turns, since SQLite doesn't write what is there already.
			data := [2][]byte{bytes.Repeat([]byte(`"secret":"eyJ0eXAi"`), 330), bytes.Repeat([]byte(`"secret":"fzK1fYBj"`), 330)} // 6 KB
			backend := d.open(b, Options{Table: newTable()})
			if _, err := backend.Save(b.Context(), key, core.Record{Data: data[0], Version: core.AnyVersion}); err != nil {
				b.Fatal(err)
			}
			table := newTable()
			d.open(b, Options{Table: table})
			bare, err := d.connect(b).DB()
			if err != nil {
				b.Fatal(err)
			}
			insert := "INSERT INTO " + table + " (record_key, data, version, modified) VALUES (?, ?, ?, ?)"
			update := "UPDATE " + table + " SET data = ?, version = ?, modified = ? WHERE record_key = ?"
			choose := "SELECT data, version, modified FROM " + table + " WHERE record_key = ?"
			if d.name == "postgres" {
				insert = "INSERT INTO " + table + " (record_key, data, version, modified) VALUES ($1, $2, $3, $4)"
				update = "UPDATE " + table + " SET data = $1, version = $2, modified = $3 WHERE record_key = $4"
				choose = "SELECT data, version, modified FROM " + table + " WHERE record_key = $1"
			}
			if _, err := bare.ExecContext(b.Context(), insert, key, data[0], 1<<61, time.Now().UnixMicro()); err != nil {
				b.Fatal(err)
			}

			b.Run("Load", func(b *testing.B) {
				sidebyside.Run(b, func(int) error {
					_, err := backend.Load(b.Context(), key)
					return err
				}, func(int) error {
					var got []byte
					var version, modified int64
					return bare.QueryRowContext(b.Context(), choose, key).Scan(&got, &version, &modified)
				})
			})
			save := func(b *testing.B, backend *Backend) {
				v, err := backend.Save(b.Context(), key, core.Record{Data: data[0], Version: core.AnyVersion})
				if err != nil {
					b.Fatal(err)
				}
				sidebyside.Run(b, func(turn int) (err error) {
					v, err = backend.Save(b.Context(), key, core.Record{Data: data[turn%2], Version: v})
					return err
				}, func(turn int) error {
					_, err := bare.ExecContext(b.Context(), update, data[turn%2], 1<<61, time.Now().UnixMicro(), key)
					return err
				})
			}
			b.Run("Save", func(b *testing.B) { save(b, backend) })
			if d.name == "postgres" {
				b.Run("SaveAndNotify", func(b *testing.B) {
					save(b, d.open(b, Options{Table: newTable(), Listen: ListenWithPgx(d.dsn)}))
				})
			}
		})
	}
}

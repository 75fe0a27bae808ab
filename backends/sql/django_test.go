package sql

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

func TestDjangosNewestRowIsRead(t *testing.T) {
	everyDatabase(t, func(t *testing.T, d database) {
		db := d.connect(t)
		// As Django's migration makes it.
		kind := map[string]string{"sqlite": "text", "postgres": "jsonb", "mysql": "json"}[d.name]
		date := map[string]string{"sqlite": "datetime", "postgres": "timestamptz", "mysql": "datetime(6)"}[d.name]
		table := newTable()
		if err := db.Exec("CREATE TABLE " + table + " (id bigint PRIMARY KEY, token " + kind + " NOT NULL, created_at " + date + " NOT NULL)").Error; err != nil {
			t.Fatal(err)
		}
		if _, err := ReadDjango(t.Context(), db, table); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("an empty table: %v, want ErrNotFound", err)
		}
		const cache = `{"AccessToken": {}, "note": "é \" \\"}`
		text, _ := json.Marshal(cache)
		for _, row := range []struct {
			id    int
			token string
			at    string
		}{
			{1, `"{}"`, "2026-01-01 00:00:00"},
			{2, string(text), "2026-03-01 00:00:00.5"},
			{3, `"{}"`, "2026-03-01 00:00:00"},
		} {
			if err := db.Exec("INSERT INTO "+table+" VALUES (?, ?, ?)", row.id, row.token, row.at).Error; err != nil {
				t.Fatal(err)
			}
		}
		rec, err := ReadDjango(t.Context(), db, table)
		if err != nil || string(rec.Data) != cache {
			t.Fatalf("ReadDjango = %q, %v", rec.Data, err)
		}
		b := d.open(t, Options{Table: newTable()})
		if _, err := b.Save(t.Context(), "ana@contoso.com", rec); err != nil {
			t.Error(err)
		}
		if _, err := b.Save(t.Context(), "ana@contoso.com", rec); !errors.Is(err, core.ErrConflict) {
			t.Errorf("a second import = %v, want ErrConflict", err)
		}
		if err := db.Exec("INSERT INTO " + table + " VALUES (4, 'null', '2026-04-01 00:00:00')").Error; err != nil {
			t.Fatal(err)
		}
		if _, err := ReadDjango(t.Context(), db, table); !errors.Is(err, core.ErrCorrupt) {
			t.Errorf("null in the newest row: %v, want ErrCorrupt", err)
		}
		if _, err := ReadDjango(t.Context(), db, "not_there"); err == nil || errors.Is(err, core.ErrNotFound) {
			t.Errorf("no table: %v", err)
		}
	})
}

package sql

import (
	"context"
	"encoding/json"

	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/core"
)

// ReadDjango reads the record that python-o365's DjangoTokenBackend would: the
// token column, a JSONField, of the row created last in the table of its
// TokenModel ("myapp_tokenmodel"). It is how a program moves over:
//
//	rec, err := sql.ReadDjango(ctx, db, "myapp_tokenmodel")
//	if err != nil {
//		return err
//	}
//	_, err = backend.Save(ctx, "ana@contoso.com", rec)
//
// The record's version is core.Absent, so that this Save overwrites nothing.
// An empty table is core.ErrNotFound.
func ReadDjango(ctx context.Context, db *gorm.DB, table string) (core.Record, error) {
	data, err := readDjango(ctx, db, table)
	if err != nil {
		return core.Record{}, origin.Fail("read", table, err)
	}
	return core.Record{Data: data, Version: core.Absent}, nil
}

func readDjango(ctx context.Context, db *gorm.DB, table string) ([]byte, error) {
	b, err := newBackend(db, Options{Table: table})
	if err != nil {
		return nil, err
	}
	newest := `SELECT token FROM ` + db.Statement.Quote(table) + ` WHERE 1 = 1 ORDER BY created_at DESC LIMIT 1`
	var data []byte
	found, err := b.first(ctx, nil, statement{text: newest, guarded: dialects[db.Name()].guard(newest)}, &data)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, core.ErrNotFound
	}
	// python-o365 gives the field a text, and the field makes JSON of it: a
	// string that holds the cache, plain or encrypted.
	var text string
	if json.Unmarshal(data, &text) == nil {
		data = []byte(text)
	}
	if len(data) == 0 { // NULL or null
		return nil, core.ErrCorrupt
	}
	return data, nil
}

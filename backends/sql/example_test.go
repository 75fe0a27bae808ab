package sql_test

import (
	"context"
	"fmt"
	"log"

	"github.com/libtnb/sqlite"
	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/backends/sql"
	"github.com/graphtoken/graphtoken/core"
)

func Example() {
	ctx := context.Background()
	db, err := gorm.Open(sqlite.Open("file::memory:?cache=shared"), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	backend, err := sql.New(db, sql.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if err := backend.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	version, err := backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{}`), Version: core.Absent})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{"AccessToken":{}}`), Version: version}); err != nil {
		log.Fatal(err)
	}
	_, err = backend.Save(ctx, "ana@contoso.com", core.Record{Data: []byte(`{"RefreshToken":{}}`), Version: version})
	fmt.Println(err)
	// Output:
	// sql: save "ana@contoso.com": version conflict
}

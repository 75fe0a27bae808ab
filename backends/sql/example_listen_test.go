package sql_test

import (
	"context"
	"log"
	"os"

	"github.com/jackc/pgx/v5"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/backends/sql"
)

// listen is an Options.Listen with pgx.
func listen(dsn string) func(ctx context.Context, channel string, heard func(payload string)) error {
	return func(ctx context.Context, channel string, heard func(payload string)) error {
		conn, err := pgx.Connect(ctx, dsn)
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
			return err
		}
		heard("") // from here on nothing is missed
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return err
			}
			heard(n.Payload)
		}
	}
}

func Example_listen() {
	dsn := os.Getenv("DATABASE_URL")
	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{})
	if err != nil {
		log.Fatal(err)
	}
	backend, err := sql.New(db, sql.Options{Listen: listen(dsn)})
	if err != nil {
		log.Fatal(err)
	}
	_ = backend // as ever
}

// The package's own tests listen as the example does.
func init() { sql.ListenWithPgx = listen }

package stores

import (
	"cmp"
	"context"
	"crypto/tls"
	database "database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	mysqldriver "github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/libtnb/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/graphtoken/graphtoken/backends/sql"
	"github.com/graphtoken/graphtoken/core"
)

// openPostgres hands the driver what it understands: it reads PGPASSWORD, ~/.pgpass and the
// other variables of libpq by itself.
func openPostgres(ctx context.Context, a *address, o Options) (*Place, error) {
	options, err := a.sqlOptions(o)
	if err != nil {
		return nil, err
	}
	own := *a.URL
	query := url.Values{}
	for name, values := range a.options {
		if !a.used[name] { // libpq's: sslmode, connect_timeout, …
			a.used[name], query[name] = true, values
		}
	}
	own.RawQuery = query.Encode()
	dsn := own.String()
	if _, err := pgx.ParseConfig(dsn); err != nil {
		return nil, a.errorf("the driver can't read it: see the connection URIs of PostgreSQL") // err may show the password
	}
	options.Listen = listen(dsn)
	return openSQL(ctx, a, postgres.Open(dsn), options, o)
}

// listen has waiters woken by notifications.
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
		heard("")
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return err
			}
			heard(n.Payload)
		}
	}
}

func openMySQL(ctx context.Context, a *address, o Options) (*Place, error) {
	c := mysqldriver.NewConfig()
	c.Net, c.Addr = "tcp", a.Host
	if a.Port() == "" {
		c.Addr = net.JoinHostPort(cmp.Or(a.Hostname(), "localhost"), "3306")
	}
	c.Passwd = os.Getenv("MYSQL_PWD")
	if a.User != nil {
		c.User = a.User.Username()
		if password, set := a.User.Password(); set {
			c.Passwd = password
		}
	}
	if c.DBName = strings.Trim(a.Path, "/"); c.DBName == "" {
		return nil, a.errorf("it names no database: mysql://user@host:3306/database")
	}
	switch mode := a.option("tls"); mode {
	case "", "false":
	case "true":
		c.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: a.Hostname()}
	case "preferred", "skip-verify":
		c.TLSConfig = mode
	default:
		return nil, a.errorf("tls is true, preferred, skip-verify or false, not %q", mode)
	}
	c.ParseTime, c.Timeout = true, 10*time.Second
	c.Logger = &mysqldriver.NopLogger{} // the driver's errors come back from its calls
	options, err := a.sqlOptions(o)
	if err != nil {
		return nil, err
	}
	connector, err := mysqldriver.NewConnector(c)
	if err != nil {
		return nil, unreachable(err)
	}
	pool := database.OpenDB(connector)
	// gorm asks for the server's version without a context: for a server that doesn't answer it
	// would wait for ever.
	bounded, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := pool.PingContext(bounded); err != nil {
		pool.Close()
		return nil, unreachable(err)
	}
	p, err := openSQL(ctx, a, mysql.New(mysql.Config{Conn: pool, DSNConfig: c}), options, o)
	if err != nil {
		pool.Close()
	}
	return p, err
}

func openSQLite(ctx context.Context, a *address, o Options) (*Place, error) {
	path := a.Path
	if a.Opaque != "" {
		path, _ = url.PathUnescape(a.Opaque)
	}
	if a.Host != "" || path == "" {
		return nil, a.errorf("it names a file: sqlite:///path/to/file.db, or sqlite:relative.db")
	}
	if filepath.VolumeName(strings.TrimPrefix(path, "/")) != "" {
		path = path[1:]
	}
	path = filepath.FromSlash(path)
	options, err := a.sqlOptions(o)
	if err != nil {
		return nil, err
	}
	if err := checkDatabase(path, o.Migrate); err != nil {
		return nil, unreachable(err)
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(5000)&_txlock=immediate"
	if a.option(django) == "" { // Django's file keeps the mode that it has
		dsn += "&_pragma=journal_mode(WAL)"
	}
	if !o.Migrate { // without its table, a new database is of no use
		dsn += "&mode=rw"
	}
	p, err := openSQL(ctx, a, sqlite.Open(dsn), options, o)
	if p != nil {
		p.Path = path
	}
	return p, err
}

// checkDatabase finds out why a file can't be a database that can be opened, and makes a file
// that is missing if create is true. SQLite has one error for a file that is missing, a file
// that may not be read and a directory.
func checkDatabase(path string, create bool) error {
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return fmt.Errorf("there is no directory for the database: %w", err)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return fmt.Errorf("there is no database: %w", err)
		}
		// SQLite would make a file that all users can read. Its log and index get the file's mode.
		f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory, and no database", path)
	}
	return nil
}

// django is the option that names the table of python-o365's TokenModel.
const django = "django"

// sqlOptions are the options of the backend. A URL with the option django that names what
// the table of a TokenModel doesn't have is an error.
func (a *address) sqlOptions(o Options) (sql.Options, error) {
	options := sql.Options{Table: a.option("table"), Prefix: a.prefix(o)}
	switch table := a.option(django); {
	case table == "":
	case options.Prefix != "":
		return options, a.errorf("the table of Django's model has one record, and no part with a prefix")
	case a.record != "" && a.record != table:
		return options, a.errorf("the table of Django's model has one record, which needs no name")
	}
	return options, nil
}

// openTimeout bounds the wait for a server that takes a connection and doesn't answer, as core
// bounds each call of a store.
const openTimeout = 30 * time.Second

func openSQL(ctx context.Context, a *address, dialect gorm.Dialector, options sql.Options, o Options) (*Place, error) {
	db, err := gorm.Open(dialect, &gorm.Config{
		Logger:               logger.Discard,
		DisableAutomaticPing: true,
	})
	if err != nil {
		return nil, unreachable(err)
	}
	pool, err := db.DB()
	if err != nil {
		return nil, unreachable(err)
	}
	b, err := newSQL(a, db, options)
	if err == nil && o.Migrate {
		bounded, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		err = b.Migrate(bounded)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &Place{Backend: b, Key: cmp.Or(a.option(django), a.record), closer: closers(pool)}, nil
}

// sqlBackend is a backend of package sql.
type sqlBackend interface {
	core.TokenBackend
	Migrate(ctx context.Context) error
}

// newSQL returns the backend on a table of records or, with the option django, on the
// table of a TokenModel, which has one record.
func newSQL(a *address, db *gorm.DB, options sql.Options) (sqlBackend, error) {
	if table := a.option(django); table != "" {
		return sql.NewDjango(db, table, sql.DjangoOptions{Leases: options.Table})
	}
	return sql.New(db, options)
}

func closers(c ...io.Closer) []io.Closer { return c }

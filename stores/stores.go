// Package stores opens a token store by its URL: a file, a variable, Redis, PostgreSQL,
// MySQL, SQLite, S3, AWS Secrets Manager, Firestore, Bitwarden. It is for programs whose
// users choose the store, such as a command line. A program that knows its store imports
// that backend alone: this package brings the SDKs of all of them.
//
//	at, err := stores.Open(ctx, "redis://localhost:6379/0#ana", stores.Options{})
//	if err != nil {
//		return err
//	}
//	defer at.Close()
//	store := core.NewStore(at.Backend)
//	source := store.TokenSource(at.Key, query, refresh)
//
// [Kinds] lists the forms of the URLs. If a store has several records, the text after the
// last "#" names one, or Options.Record does. A text without a scheme is the path of a file,
// unchanged.
//
// Credentials come from their usual places: the AWS SDK's and Google's default chains,
// PGPASSWORD and ~/.pgpass, MYSQL_PWD, REDISCLI_AUTH, BWS_ACCESS_TOKEN. A password may also
// be in the URL. [Place.String] and errors leave it out.
package stores

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// Options changes what Open does. The zero value is ready for use.
type Options struct {
	// Record names the record, if the store has several. If the URL names one too, Open
	// returns an error.
	Record string

	// Migrate makes a database's table, and SQLite's file (mode 0600), if they are missing.
	// The credentials must allow that.
	Migrate bool

	// Prefix is put before the name of every record, after the URL's own prefix: letters,
	// digits and hyphens. Two Places of one URL with different prefixes don't see each
	// other's records. Files with a prefix are in a directory of their own beside the
	// others; variables have the prefix in their names.
	Prefix string
}

// Place is an open store.
type Place struct {
	// Kind is the kind of store, the URL's scheme: "file", "redis", ….
	Kind string

	// Backend is the store.
	Backend core.TokenBackend

	// Key is the record that the URL or Options.Record names. Empty means that none is
	// named, and the store may hold many.
	Key string

	// Path is the file that holds the record or the table, or the directory of the files
	// if no record is named. Empty means that the store isn't in files.
	Path string

	// ReadOnly is true if Save returns core.ErrReadOnly: a variable of this process ends
	// with it.
	ReadOnly bool

	shown  string
	closer []io.Closer
	remove func() error // what only this Place's prefix made, besides records
}

// Close closes the connections that Open made.
func (p *Place) Close() error {
	var errs []error
	for _, c := range slices.Backward(p.closer) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// String returns the URL without a password and without the record.
func (p *Place) String() string { return p.shown }

// RemoveAll removes every record that the Place lists, and the directory of its Prefix. It
// is for a Place with a Prefix of its own.
func (p *Place) RemoveAll(ctx context.Context) error {
	var errs []error
	if l, ok := core.As[core.Lister](p.Backend); ok {
		for key, err := range l.Keys(ctx) {
			if err != nil {
				errs = append(errs, err)
				break
			}
			errs = append(errs, p.Backend.Delete(ctx, key))
		}
	}
	if p.remove != nil {
		errs = append(errs, p.remove())
	}
	return errors.Join(errs...)
}

// Kind is one kind of store.
type Kind struct {
	Schemes []string
	Forms   []string // of its URLs
	Help    string   // one line

	open func(context.Context, *address, Options) (*Place, error)
}

// kinds are in the order in which help shows them.
var kinds = []Kind{
	{[]string{"file"}, []string{"file:///path/to/file", "PATH", "file:relative/file", "file:///path/to/directory/#NAME"}, "files; python-o365 reads them, too", openFile},
	{[]string{"env"}, []string{"env://NAME", "env://NAME?file=.env"}, "a variable (read only), or one in a dotenv file", openEnv},
	{[]string{"redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"},
		[]string{"redis://host:6379/0#NAME", "redis+sentinel://host:26379,host:26379/MASTER/0#NAME", "redis+cluster://host:6379,host:6379#NAME"}, "Redis 6 and Valkey; rediss by TLS; ?prefix=", openRedis},
	{[]string{"postgres", "postgresql"}, []string{"postgres://user@host:5432/database#NAME"}, "PostgreSQL; ?table=, ?prefix=, and the options of libpq", openPostgres},
	{[]string{"mysql", "mariadb"}, []string{"mysql://user@host:3306/database#NAME"}, "MySQL and MariaDB; ?table=, ?prefix=, ?tls=", openMySQL},
	{[]string{"sqlite"}, []string{"sqlite:///path/to/file.db#NAME"}, "SQLite; ?table=, ?prefix=; of all three, ?django=TABLE is python-o365's model", openSQLite},
	{[]string{"s3"}, []string{"s3://bucket/prefix/#NAME"}, "Amazon S3 and what honours its conditions; ?region=, ?endpoint=, ?path-style=true, ?kms-key=, ?profile=", openS3},
	{[]string{"awssecrets"}, []string{"awssecrets://region/prefix/#NAME"}, "AWS Secrets Manager; ?endpoint=, ?recovery-days=, ?kms-key=, ?profile=", openAWSSecrets},
	{[]string{"firestore"}, []string{"firestore://project/collection#NAME"}, "Firestore; ?database=, ?field=, ?prefix=", openFirestore},
	{[]string{"bitwarden"}, []string{"bitwarden://project-id#NAME"}, "Bitwarden Secrets Manager; ?organization=, ?prefix=, ?api=, ?identity=, ?state=FILE", openBitwarden},
}

// Kinds returns the kinds of stores, for a program's help.
func Kinds() []Kind { return slices.Clone(kinds) }

// ErrURL is wrapped by the error of a URL that names no store: its scheme or an option
// doesn't exist, or its record is named twice.
var ErrURL = errors.New("invalid store URL")

// schemeForm is what may be a URL's scheme: RFC 3986 section 3.1. One letter is a drive.
var schemeForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+:`)

// Open opens the store that a URL names. It doesn't contact every store: core.Pinger tells
// whether one can be reached. An error of the URL wraps ErrURL; any other is the store's.
func Open(ctx context.Context, store string, o Options) (*Place, error) {
	if !schemeForm.MatchString(store) || filepath.VolumeName(store) != "" {
		return openPath(store, o)
	}
	name, _, _ := strings.Cut(store, ":")
	for _, k := range kinds {
		if !slices.Contains(k.Schemes, strings.ToLower(name)) {
			continue
		}
		a, err := parse(store, o)
		if err != nil {
			return nil, err
		}
		if a.Opaque != "" && !slices.Contains([]string{"file", "env", "sqlite"}, a.Scheme) {
			return nil, a.errorf("two slashes follow the colon: %s", k.Forms[0])
		}
		p, err := k.open(ctx, a, o)
		if err != nil {
			return nil, err
		}
		p.Kind, p.shown = k.Schemes[0], a.shown()
		if unknown := a.unused(); unknown != "" {
			_ = p.Close()
			return nil, a.errorf("there is no option %q", unknown)
		}
		return p, nil
	}
	// The rest isn't shown: it may contain a password.
	return nil, fmt.Errorf("%w: there is no kind of store %q", ErrURL, core.Printable(name))
}

// address is a parsed URL of a store.
type address struct {
	*url.URL
	options url.Values
	used    map[string]bool
	record  string
}

func parse(store string, o Options) (*address, error) {
	rest, record, named := cutRecord(store)
	u, err := url.Parse(rest)
	if err != nil {
		scheme, _, _ := strings.Cut(store, ":")
		return nil, fmt.Errorf("%w: %s: it can't be read: %s", ErrURL, core.Printable(scheme), parseFault(err))
	}
	u.Scheme = strings.ToLower(u.Scheme)
	a := &address{URL: u, used: make(map[string]bool), record: o.Record}
	if a.options, err = url.ParseQuery(u.RawQuery); err != nil {
		return nil, a.errorf("what follows the question mark can't be read")
	}
	if named {
		if o.Record != "" {
			return nil, a.errorf("the record is named twice: after the # and on its own")
		}
		if a.record, err = url.PathUnescape(record); err != nil {
			return nil, a.errorf("the record's name has a %% that isn't followed by two hexadecimal digits")
		}
	}
	return a, nil
}

// cutRecord takes off what follows the last "#".
func cutRecord(store string) (rest, record string, named bool) {
	if i := strings.LastIndexByte(store, '#'); i >= 0 {
		return store[:i], store[i+1:], true
	}
	return store, "", false
}

// parseFault is why a URL can't be parsed, without the URL.
func parseFault(err error) string {
	if of := (*url.Error)(nil); errors.As(err, &of) {
		err = of.Err
	}
	var escape url.EscapeError
	var host url.InvalidHostError
	switch {
	case errors.As(err, &escape):
		return "a % isn't followed by two hexadecimal digits"
	case errors.As(err, &host):
		return "the host has a character that no host has"
	}
	return "its host, port or user can't be told apart: escape special characters of a password as %XX"
}

// option returns an option of the URL.
func (a *address) option(name string) string {
	a.used[name] = true
	return a.options.Get(name)
}

// unused is an option that nothing asked for.
func (a *address) unused() string {
	for name := range a.options {
		if !a.used[name] {
			return core.Printable(name)
		}
	}
	return ""
}

// shown is the URL without what may be secret.
func (a *address) shown() string {
	u := *a.URL
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	query := url.Values{}
	for name, values := range a.options {
		if !strings.Contains(strings.ToLower(name), "pass") && !strings.Contains(strings.ToLower(name), "token") {
			query[name] = values
		}
	}
	u.RawQuery, u.Fragment = query.Encode(), ""
	return core.Printable(u.String())
}

func (a *address) errorf(format string, args ...any) error {
	return fmt.Errorf("%w: %s: "+format, append([]any{ErrURL, a.Scheme}, args...)...)
}

// prefix is the prefix of the store's records.
func (a *address) prefix(o Options) string { return a.option("prefix") + o.Prefix }

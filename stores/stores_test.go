//go:build unix

package stores_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libtnb/sqlite"
	"github.com/redis/go-redis/v9/logging"
	"gorm.io/gorm"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
	"github.com/graphtoken/graphtoken/internal/testkit/sqltest"
	"github.com/graphtoken/graphtoken/stores"
)

// places are a store of each kind, on real servers where there are some. Each returns a
// URL without a record, and sets the variables that its credentials come from.
var places = map[string]func(t *testing.T) string{
	"file":   func(t *testing.T) string { return "file://" + t.TempDir() + "/" },
	"dotenv": func(t *testing.T) string { return "env://?file=" + filepath.Join(t.TempDir(), ".env") },
	"redis":  func(t *testing.T) string { return "redis://" + redistest.Start(t).Addr + "/3?prefix=tokens:" },
	"sentinel": func(t *testing.T) string {
		var addrs []string
		for _, s := range redistest.StartSentinels(t).Sentinels {
			addrs = append(addrs, s.Addr)
		}
		return "redis+sentinel://" + strings.Join(addrs, ",") + "/" + redistest.MasterName + "/0"
	},
	"cluster": func(t *testing.T) string {
		return "redis+cluster://" + strings.Join(redistest.StartCluster(t).Addrs(), ",")
	},
	"postgres": func(t *testing.T) string {
		return "postgres://postgres@127.0.0.1:" + word(sqltest.Postgres(t).DSN(), "port=", " ") + "/postgres?sslmode=disable&table=app_tokens"
	},
	"mysql": func(t *testing.T) string {
		return "mysql://root@127.0.0.1:" + word(sqltest.MariaDB(t).DSN(), "127.0.0.1:", ")") + "/test"
	},
	"sqlite": func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "tokens%20%231.db") },
	"s3": func(t *testing.T) string {
		aws(t, s3test.AccessKey, s3test.SecretKey)
		double := s3test.Start(t)
		return "s3://" + s3test.Bucket(t, s3test.Client(double.URL)) + "/tokens/?region=us-east-1&endpoint=" + double.URL
	},
	"awssecrets": func(t *testing.T) string {
		aws(t, "AKIDEXAMPLE", "secret")
		return "awssecrets://us-east-1/tokens/?endpoint=" + secretstest.Start(t, secretstest.Options{}).URL
	},
	"firestore": func(t *testing.T) string {
		t.Setenv("FIRESTORE_EMULATOR_HOST", firestoretest.Double(t).Addr)
		return "firestore://project/apps/crm/tokens?field=token"
	},
	"bitwarden": func(t *testing.T) string {
		server := bitwardentest.Start(t, bitwardentest.Options{})
		t.Setenv("BWS_ACCESS_TOKEN", server.AccessToken())
		return "bitwarden://" + server.Project() + "?api=" + server.APIURL() + "&identity=" + server.IdentityURL()
	},
}

// aws sets the account for the SDK, and keeps this machine's own files out.
func aws(t *testing.T, key, secret string) {
	t.Setenv("AWS_ACCESS_KEY_ID", key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", secret)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

// word is what stands between two texts.
func word(text, after, before string) string {
	_, text, _ = strings.Cut(text, after)
	text, _, _ = strings.Cut(text, before)
	return text
}

// A dial that fails is a line of go-redis, and the tests see to it that some do.
func TestMain(m *testing.M) {
	logging.Disable()
	os.Exit(m.Run())
}

func open(t *testing.T, url string, o stores.Options) *stores.Place {
	t.Helper()
	p, err := stores.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func TestARecordIsFoundAgainByTheURLOfEveryKindOfStore(t *testing.T) {
	for name, start := range places {
		t.Run(name, func(t *testing.T) {
			url := start(t)
			p := open(t, url+"#ana", stores.Options{Migrate: true})
			if p.Key != "ana" || p.ReadOnly {
				t.Fatalf("the record is %q, read-only is %t", p.Key, p.ReadOnly)
			}
			ctx := t.Context()
			data := []byte(`{"AccessToken":{}}`)
			if _, err := p.Backend.Save(ctx, p.Key, core.Record{Data: data, Version: core.Absent}); err != nil {
				t.Fatal(err)
			}
			again := open(t, url, stores.Options{Record: "ana"})
			if rec, err := again.Backend.Load(ctx, again.Key); err != nil || string(rec.Data) != string(data) {
				t.Errorf("it was loaded as %q, %v", []byte(rec.Data), err)
			}
			own := open(t, url, stores.Options{Record: "ana", Prefix: "trial-x-", Migrate: true})
			if ok, err := own.Backend.Check(ctx, "ana"); ok || err != nil {
				t.Errorf("under another prefix it is there: %t, %v", ok, err)
			}
			if _, err := own.Backend.Save(ctx, "ana", core.Record{Data: data, Version: core.Absent}); err != nil {
				t.Error(err)
			}
			if err := own.RemoveAll(ctx); err != nil {
				t.Error(err)
			}
			if ok, err := own.Backend.Check(ctx, "ana"); ok || err != nil {
				t.Errorf("after RemoveAll it is there: %t, %v", ok, err)
			}
			if ok, err := p.Backend.Check(ctx, "ana"); !ok || err != nil {
				t.Errorf("RemoveAll took a record of another prefix: %t, %v", ok, err)
			}
			if _, ok := core.As[core.Lister](p.Backend); !ok {
				t.Error("the store doesn't list")
			}
		})
	}
}

func TestAPasswordIsNeverShown(t *testing.T) {
	const password = "p4ss:w0rd"
	for _, url := range []string{
		"redis://ana:p4ss%3Aw0rd@localhost:1/0#k",
		"rediss://:p4ss%3Aw0rd@localhost:1",
		"postgres://ana:p4ss%3Aw0rd@localhost:1/db?sslpassword=p4ss%3Aw0rd#k",
		"mysql://ana:p4ss%3Aw0rd@localhost:1/db",
		"redis://ana:p4ss%3Aw0rd@localhost:x/0",
		"redis://ana:p4ss:w0rd@local host/0",
		"postgres://ana:p4ss%3Aw0rd@localhost:1/db?nothing=%zz",
		"postgres://ana:p4ss%ZZw0rd@localhost/db",
		"mysql://ana:p4ss%3Aw0rd@localhost:1/",
		"redis:p4ss@host",
		"mysql:ana:p4ss@host/db",
		"ftp://ana:p4ss%3Aw0rd@localhost/",
		"redis://ana:p4ss%3Aw0rd@localhost/0?unknown=1",
	} {
		p, err := stores.Open(t.Context(), url, stores.Options{})
		shown := fmt.Sprint(err)
		if err == nil {
			_, err = p.Backend.Load(t.Context(), "k")
			shown = fmt.Sprint(p, " ", err)
			p.Close()
		}
		for _, form := range []string{password, "p4ss%3Aw0rd", "p4ss", "w0rd"} {
			if strings.Contains(shown, form) {
				t.Errorf("%s shows %q: %s", url, form, shown)
			}
		}
	}
}

func TestAURLThatNamesNoStoreIsTold(t *testing.T) {
	for url, says := range map[string]string{
		"ftp://host/x":                    "no kind of store",
		"redis://host/zero":               "a number",
		"redis://host/0?prefx=a":          `no option "prefx"`,
		"redis+sentinel://host":           "master",
		"mysql://host/":                   "no database",
		"s3:///prefix":                    "no bucket",
		"firestore://project":             "a collection",
		"file://server/share/x":           "another machine",
		"file:///tmp/x?mode=1":            `no option "mode"`,
		"file:///tmp/a%zz":                "hexadecimal",
		"env://NAME#OTHER":                "already",
		"":                                "no file",
		"bitwarden://project":             "BWS_ACCESS_TOKEN",
		"postgres://host:port/x":          "",
		"sqlite://host/x.db":              "names a file",
		"s3://bucket?path-style=perhaps":  "true or false",
		"awssecrets://r/?recovery-days=x": "a number",
		"sqlite:x.db?django=a_b#ana":      "one record",
		"sqlite:x.db?django=a_b&prefix=c": "no part with a prefix",
	} {
		t.Setenv("BWS_ACCESS_TOKEN", "")
		t.Setenv("AWS_REGION", "us-east-1")
		p, err := stores.Open(t.Context(), url, stores.Options{})
		if err == nil {
			p.Close()
		}
		if !errors.Is(err, stores.ErrURL) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want ErrURL with %q", url, err, says)
		}
	}
	if _, err := stores.Open(t.Context(), "redis://localhost#ana", stores.Options{Record: "bo"}); !errors.Is(err, stores.ErrURL) {
		t.Errorf("two records are named: %v", err)
	}
}

// The table is as Django's migration of python-o365's TokenModel makes it.
func TestTheTableOfDjangosModelIsOneRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db.sqlite3")
	db, err := gorm.Open(sqlite.Open("file:"+path), &gorm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		`CREATE TABLE mail_tokenmodel (id integer NOT NULL PRIMARY KEY AUTOINCREMENT, token text NOT NULL CHECK ((JSON_VALID(token) OR token IS NULL)),
			created_at datetime NOT NULL, updated_at datetime NOT NULL)`,
		`INSERT INTO mail_tokenmodel (token, created_at, updated_at) VALUES ('"{\"a\":1}"', '2024-01-01 00:00:00', '2024-01-01 00:00:00')`,
	} {
		if err := db.Exec(statement).Error; err != nil {
			t.Fatal(err)
		}
	}
	p := open(t, "sqlite://"+path+"?django=mail_tokenmodel", stores.Options{})
	if p.Key != "mail_tokenmodel" {
		t.Errorf("the record is %q", p.Key)
	}
	record, err := p.Backend.Load(t.Context(), p.Key)
	if err != nil || string(record.Data) != `{"a":1}` {
		t.Fatalf("the record is %q, %v", []byte(record.Data), err)
	}
	if _, err := p.Backend.Save(t.Context(), p.Key, core.Record{Data: core.Data(`{"a":2}`), Version: record.Version}); err != nil {
		t.Error(err)
	}
	var mode string
	if err := db.Raw("PRAGMA journal_mode").Row().Scan(&mode); err != nil || mode == "wal" {
		t.Errorf("Django's file has another journal mode now: %q, %v", mode, err)
	}
}

// SQLite itself would give the file the mode 0644.
func TestADatabaseThatIsMadeIsForItsUserAlone(t *testing.T) {
	dir := t.TempDir()
	p := open(t, "sqlite://"+filepath.Join(dir, "tokens.db")+"#ana", stores.Options{Migrate: true})
	if _, err := p.Backend.Save(t.Context(), p.Key, core.Record{Data: []byte(`{}`), Version: core.Absent}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir) // the database, and its log
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
}

// gorm asks MySQL for its version when it opens a database, without a context.
func TestOpenEndsWithItsContextIfADatabaseNeverAnswers(t *testing.T) {
	for _, scheme := range []string{"mysql", "postgres"} {
		t.Run(scheme, func(t *testing.T) {
			server, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close() // a connection stays as it is until then: accepted, and never answered
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() {
				_, err := stores.Open(ctx, scheme+"://mail@"+server.Addr().String()+"/mail#ana", stores.Options{Migrate: true})
				ended <- err
			}()
			conn, err := server.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			cancel()
			select {
			case err := <-ended:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Open ended with %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Error("Open goes on")
			}
		})
	}
}

// A path is what the user wrote, whatever characters it has.
func TestAPathIsThatFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"tokens.json", "ana@contoso.com token.txt", "100%.json", "a#b.txt", "c?d.txt", "équipe.txt", "file:.txt"} {
		p := open(t, filepath.Join(dir, name), stores.Options{})
		if _, err := p.Backend.Save(t.Context(), p.Key, core.Record{Data: []byte(`{}`), Version: core.Absent}); err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil || p.Path != filepath.Join(dir, name) {
			t.Errorf("%q is %q: %v", name, p.Path, err)
		}
	}
	t.Chdir(dir)
	for url, want := range map[string]string{
		"file:tokens.json": "tokens.json",
		"file://" + dir + "/ana@contoso.com%20token.txt":            filepath.Join(dir, "ana@contoso.com token.txt"),
		"file://localhost" + dir + "/100%25.json":                   filepath.Join(dir, "100%.json"),
		"file://" + dir + "/#ana@contoso.com%20token.txt":           filepath.Join(dir, "ana@contoso.com token.txt"),
		"file://" + filepath.ToSlash(dir) + "#%C3%A9quipe.txt":      filepath.Join(dir, "équipe.txt"),
		"file://" + filepath.Join(dir, "a%23b.txt"):                 filepath.Join(dir, "a#b.txt"),
		"file://" + filepath.Join(dir, "ana@contoso.com token.txt"): filepath.Join(dir, "ana@contoso.com token.txt"),
	} {
		p := open(t, url, stores.Options{})
		if ok, err := p.Backend.Check(t.Context(), p.Key); !ok || err != nil || p.Path != want {
			t.Errorf("%q is %q, want %q: %t, %v", url, p.Path, want, ok, err)
		}
	}
}

func TestAVariableOfTheProcessIsReadOnly(t *testing.T) {
	t.Setenv("O365TOKEN", `{"AccessToken":{}}`)
	p := open(t, "env://O365TOKEN", stores.Options{})
	if _, err := p.Backend.Load(t.Context(), p.Key); err != nil || !p.ReadOnly {
		t.Errorf("%v, read-only is %t", err, p.ReadOnly)
	}
}

func TestHelpHasALineForEveryKind(t *testing.T) {
	for _, k := range stores.Kinds() {
		if len(k.Schemes) == 0 || len(k.Forms) == 0 || k.Help == "" {
			t.Errorf("%+v", k)
		}
	}
	if len(stores.Kinds()) != 10 {
		t.Errorf("there are %d kinds", len(stores.Kinds()))
	}
}

//go:build unix

package main_test

import (
	"cmp"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/graphtoken/graphtoken/internal/testkit/bitwardentest"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
	"github.com/graphtoken/graphtoken/internal/testkit/mototest"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
	"github.com/graphtoken/graphtoken/internal/testkit/sqltest"
)

// useAWS sets the account of an S3 or of Secrets Manager on this machine.
func (w *world) useAWS(key, secret string) {
	w.set("AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_EC2_METADATA_DISABLED=true")
}

// s3At is the URL of a new bucket there.
func (w *world) s3At(endpoint string) string {
	w.useAWS(s3test.AccessKey, s3test.SecretKey)
	return "s3://" + s3test.Bucket(w.t, s3test.Client(endpoint)) + "/tokens/?region=us-east-1&endpoint=" + endpoint
}

func postgresURL(s *sqltest.Server, user string) string {
	return "postgres://" + user + "@127.0.0.1:" + between(s.DSN(), "port=", " ") + "/postgres?sslmode=disable"
}

// servers are the kinds of stores that a server keeps: the real one, or the imitation where
// there is none to be had. Each returns a URL.
var servers = map[string]func(t *testing.T, w *world) string{
	"redis":    func(t *testing.T, w *world) string { return "redis://" + redistest.Start(t).Addr + "/0" },
	"postgres": func(t *testing.T, w *world) string { return postgresURL(sqltest.Postgres(t), "postgres") },
	"mysql": func(t *testing.T, w *world) string {
		return "mysql://root@127.0.0.1:" + between(sqltest.MariaDB(t).DSN(), "127.0.0.1:", ")") + "/test"
	},
	"s3": func(t *testing.T, w *world) string { return w.s3At(s3test.Versitygw(t).URL) },
	"awssecrets": func(t *testing.T, w *world) string {
		w.useAWS("AKIDEXAMPLE", "secret")
		return "awssecrets://us-east-1/tokens/?endpoint=" + mototest.Start(t).URL
	},
	"firestore": func(t *testing.T, w *world) string {
		w.set("FIRESTORE_EMULATOR_HOST=" + firestoretest.Double(t).Addr)
		return "firestore://project/tokens"
	},
	"bitwarden": func(t *testing.T, w *world) string {
		server := bitwardentest.Start(t, bitwardentest.Options{})
		w.set("BWS_ACCESS_TOKEN=" + server.AccessToken())
		return "bitwarden://" + server.Project() + "?api=" + server.APIURL() + "&identity=" + server.IdentityURL()
	},
}

func TestADoctorExaminesEveryKindOfServerAndLeavesNothingThere(t *testing.T) {
	for kind, start := range servers {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.login(ana)
			url := start(t, w)
			w.ok("copy", w.file(), url+"#ana")
			if kind == "bitwarden" { // it has no conditional writes
				w.finds(1, url, "warning conditions the store compares versions before it writes")
			} else {
				w.finds(0, url)
			}
			shows(t, "the doctor", w.run("doctor", url).out, "ok      permissions: ", "ok      store's clock: this machine's clock agrees with the store's", "ok      records: 1 can be read")
			if names := w.ok("list", "--names", "--store", url); names != "ana" {
				t.Errorf("the doctor left %q", names)
			}
		})
	}
}

func TestADoctorFindsTheWrongClockOfAStore(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	store := s3test.Start(t)
	store.Advance(48*time.Hour + 30*time.Minute) // and the store tells whole seconds
	w.finds(5, w.s3At(store.URL), "error store's clock this machine's clock is 48h", " behind the store's")
}

func TestADoctorFindsAnS3ThatIgnoresConditions(t *testing.T) {
	honest, err := url.Parse(s3test.Start(t).URL)
	if err != nil {
		t.Fatal(err)
	}
	careless := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(honest)
		r.Out.Header.Del("If-Match")
		r.Out.Header.Del("If-None-Match")
	}})
	defer careless.Close()
	w := newWorld(t)
	w.finds(5, w.s3At(careless.URL), "the store ignores conditions: PutObject with If-None-Match", "error conditions writes are not conditional")
}

func TestADoctorFindsARedisThatIsFull(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t)
	url := "redis://" + server.Addr + "/0"
	server.CLI(t, "config", "set", "maxmemory", "1gb")
	w.finds(0, url)
	server.CLI(t, "config", "set", "maxmemory", "100kb")
	w.finds(5, url, "error space ")
}

func TestADoctorsAdviceFitsWhyTheStoreCannotBeUsed(t *testing.T) {
	const (
		host        = "Check the host and the port"
		credentials = "Correct the user and the password"
		table       = "login or copy makes the table"
		database    = "Make the database, or correct its name"
		file        = "login or copy makes the database, in a directory that is there"
		damaged     = "restore this one from a copy"
	)
	holding := func(content string) func(t *testing.T, w *world) string {
		return func(t *testing.T, w *world) string { return "sqlite://" + w.write("t.db", content) }
	}
	for _, c := range []struct {
		name string
		url  func(t *testing.T, w *world) string
		want string
	}{
		{"redis with a wrong password", func(t *testing.T, w *world) string {
			w.secrets["tokens:wrong@"] = true
			return "redis://tokens:wrong@" + redistest.Start(t).Addr + "/0"
		}, credentials},
		{"redis that isn't there", func(*testing.T, *world) string { return "redis://127.0.0.1:1/0" }, host},
		{"postgres that isn't there", func(*testing.T, *world) string { return "postgres://a@127.0.0.1:1/b?sslmode=disable" }, host},
		{"postgres without such a user", func(t *testing.T, w *world) string { return postgresURL(sqltest.Postgres(t), "nobody") }, credentials},
		{"postgres without the table", func(t *testing.T, w *world) string { return postgresURL(sqltest.Postgres(t), "postgres") }, table},
		{"postgres without the database", func(t *testing.T, w *world) string {
			return strings.Replace(postgresURL(sqltest.Postgres(t), "postgres"), "/postgres?", "/other?", 1)
		}, database},
		{"mysql that isn't there", func(*testing.T, *world) string { return "mysql://a@127.0.0.1:1/b" }, host},
		{"mysql with a wrong password", func(t *testing.T, w *world) string {
			w.secrets["root:wrong@"] = true
			return strings.Replace(servers["mysql"](t, w), "//root@", "//root:wrong@", 1)
		}, credentials},
		{"mysql without the table", servers["mysql"], table},
		{"mysql without the database", func(t *testing.T, w *world) string {
			return strings.Replace(servers["mysql"](t, w), "/test", "/other", 1)
		}, database},
		{"sqlite without the file", func(t *testing.T, w *world) string { return "sqlite://" + filepath.Join(w.dir, "t.db") }, file},
		{"sqlite without the directory", func(t *testing.T, w *world) string { return "sqlite://" + filepath.Join(w.dir, "none", "t.db") }, file},
		{"sqlite without the table", holding(""), table},
		{"sqlite whose file is something else", holding(strings.Repeat("no database ", 100)), damaged},
		{"sqlite whose file is a directory", func(t *testing.T, w *world) string { return "sqlite://" + w.mkdir("t.db", 0o700) }, damaged},
		{"s3 without the bucket", func(t *testing.T, w *world) string {
			return strings.Replace(servers["s3"](t, w), "s3://", "s3://no-", 1)
		}, "Make the bucket"},
		{"s3 with a wrong key", func(t *testing.T, w *world) string {
			url := servers["s3"](t, w)
			w.useAWS(s3test.AccessKey, "wrong")
			return url
		}, credentials},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			out := w.fails(5, "doctor", c.url(t, w)).out
			_, told, _ := strings.Cut(out, "error   reach: ")
			if _, advice, _ := strings.Cut(told, "→ "); !strings.Contains(strings.Split(advice, "\n")[0], c.want) {
				t.Errorf("the advice isn't %q:\n%s", c.want, out)
			}
			if strings.Contains(out, "ok      records") || strings.Contains(out, "permissions: ") {
				t.Errorf("the doctor goes on with a store that is out of reach:\n%s", out)
			}
		})
	}
}

func TestADoctorWarnsOfARedisThatForgetsAllWhenItRestarts(t *testing.T) {
	for _, c := range []struct {
		name string
		save string
		log  string
		deny string
		want string
	}{
		{"one that writes nothing is found", "", "no", "", "warning persistence the server writes nothing to disk"},
		{"one that forbids INFO is found", "", "no", "-info", "warning persistence the server writes nothing to disk"},
		{"one with an append-only file is fine", "", "yes", "", ""},
		{"one with snapshots is fine", "3600 1", "no", "", ""},
		{"of one that forbids CONFIG, INFO doesn't tell", "3600 1", "no", "-config", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := redistest.Start(t, "--appendonly", c.log)
			server.CLI(t, "config", "set", "save", c.save)
			server.CLI(t, "acl", "setuser", "tokens", "on", ">secret", "~*", "&*", "+@all", cmp.Or(c.deny, "+info"))
			w := newWorld(t)
			w.secrets["tokens:secret@"] = true
			url := "redis://tokens:secret@" + server.Addr + "/0"
			if c.want == "" {
				w.finds(0, url)
			} else {
				w.finds(1, url, c.want)
			}
		})
	}
}

func TestADoctorNamesTheRightThatAUserLacks(t *testing.T) {
	t.Run("redis", func(t *testing.T) {
		server := redistest.Start(t)
		w := newWorld(t)
		server.CLI(t, "acl", "setuser", "tokens", "on", ">secret", "~*", "&*", "+@all", "-scan", "-info")
		url := "redis://tokens:secret@" + server.Addr + "/0"
		w.secrets["tokens:secret@"] = true
		w.finds(5, url, "warning permissions list is refused: ", "error records ")
		if left := server.CLI(t, "keys", "*"); strings.TrimSpace(left) != "" {
			t.Errorf("the doctor left %q", left)
		}
	})
	t.Run("redis, of which Ping needs it too", func(t *testing.T) {
		server := redistest.Start(t)
		w := newWorld(t)
		server.CLI(t, "acl", "setuser", "tokens", "on", ">secret", "~*", "&*", "+@all", "-del")
		w.secrets["tokens:secret@"] = true
		bad := w.finds(5, "redis://tokens:secret@"+server.Addr+"/0", "error reach ", "error permissions lease is refused: ", "error permissions delete is refused: ")
		if strings.Contains(bad, "load is refused") || strings.Contains(bad, "save is refused") {
			t.Errorf("the doctor finds what isn't refused:\n%s", bad)
		}
	})
	t.Run("postgres", func(t *testing.T) {
		server := sqltest.Postgres(t)
		w := newWorld(t)
		w.login(ana)
		w.ok("copy", w.file(), postgresURL(server, "postgres")+"#ana")
		database, err := pgx.Connect(t.Context(), server.DSN())
		if err != nil {
			t.Fatal(err)
		}
		defer database.Close(t.Context())
		if _, err := database.Exec(t.Context(), "CREATE ROLE reader LOGIN; GRANT SELECT, INSERT, UPDATE ON graphtoken TO reader"); err != nil {
			t.Fatal(err)
		}
		if bad := w.finds(5, postgresURL(server, "reader"), "error permissions delete is refused: "); strings.Contains(bad, "save is refused") {
			t.Errorf("the doctor finds\n%s", bad)
		}
	})
}

//go:build unix

package main_test

import (
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
	"github.com/graphtoken/graphtoken/internal/testkit/sqltest"
)

// goisms are words that only a Go programmer understands, and texts of libraries that say
// how a call went instead of what is wrong.
var goisms = regexp.MustCompile(`\bcore\.|\bErr[A-Z]|\bcontext (deadline|canceled)|\bdial (tcp|unix)|%!|\*\w+\.\w+|\brpc error|\boperation error|` +
	`\bx509\b|\bEOF\b|\bEOL\b|\bgoroutine\b|\bWith[A-Z]\w+|0x[0-9a-f]{6}|<nil>|\bmap\[|\bstrconv\.|\bjson: (cannot|unsupported|invalid)|\bexec: "|StatusCode|RequestID|\bgorm\b|\bpgconn\b|` +
	`\b(sql|awss3|filesystem|msal|account|crypto|stores|tls|net/http): |\binvalid character\b|\btime: |\bno such table\b|\bSDK 20|\btls error\b`)

// storePassword stands in URLs, and must not be shown.
const storePassword = "pa55word-canary"

// failure is a command that fails. Its message must contain each of the texts in says: the
// store, the record, the next step.
type failure struct {
	name string
	code int
	args func(t *testing.T, w *world) []string
	says []string
}

// of are arguments that need no preparation.
func of(args ...string) func(*testing.T, *world) []string {
	return func(*testing.T, *world) []string { return args }
}

// after prepares the world, and returns the arguments.
func after(prepare func(w *world), args ...string) func(*testing.T, *world) []string {
	return func(_ *testing.T, w *world) []string { prepare(w); return args }
}

func holding(record string) func(w *world) {
	return func(w *world) { w.holdData([]byte(record)) }
}

var failures = []failure{
	// The record.
	{"status of a record that is absent", 3, of("status"), []string{"store/tokens.json", `no record "tokens.json"`, "graphtoken login --client-id ID"}},
	{"status of a record that is absent, in a directory", 3, of("status", "--store", "file:store/#ana"), []string{"store", `no record "ana"`, "graphtoken login --client-id ID --store file:store/#ana"}},
	{"inspect of a record that is absent", 3, of("inspect"), []string{"store/tokens.json", "no record", "graphtoken login"}},
	{"logout of a record that is absent", 3, of("logout"), []string{"store/tokens.json", "no record", "nobody to sign out", "graphtoken list"}},
	{"list of a store without records", 3, of("list", "--store", "store/"), []string{"store: no record", "graphtoken login"}},
	{"copy of a record that is absent", 3, of("copy", "file:store/#ana", "file:there/"), []string{"store", "ana", "graphtoken login"}},
	{"keepalive of a store without records", 3, of("keepalive", "--store", "store/"), []string{"store: no record", "graphtoken login --client-id ID --store store"}},
	{"token of a record that is absent", 3, of("token", "--user", ana), []string{"store/tokens.json", "graphtoken login --client-id ID --user " + ana}},
	{"exec with nobody signed in", 3, of("exec", "--", "true"), []string{"store/tokens.json", "graphtoken login"}},
	{"whoami with nobody signed in", 3, of("whoami", "--graph", "https://"+nowhere), []string{"store/tokens.json", "graphtoken login"}},
	{"a record that is cut off", 5, after(holding(`{"AccessToken":{`), "token"), []string{"store/tokens.json", `the record "tokens.json"`, "move it away"}},
	{"a record that is cut off, at login", 5, after(holding(`{"AccessToken":{`), "login", "--client-id", "x"), []string{"store/tokens.json", "graphtoken login --client-id x"}},
	{"a record of python-o365 before 2.1", 5, after(holding(`{"access_token":"a","refresh_token":"b","expires_at":1}`), "status"), []string{"tokens.json", "python-o365", "graphtoken import"}},
	{"a record that is encrypted, without a key", 5, encrypted("status"), []string{"tokens.json", "--key-file"}},
	{"a record that is encrypted with another key", 5, encrypted("token", "--key-file", "other"), []string{"tokens.json", "--key-file"}},
	{"a plain record, with a key", 5, after(func(w *world) { signedIn(w); w.ok("keygen", "other") }, "token", "--key-file", "other"), []string{"tokens.json", "--plaintext-reads"}},
	{"a token that would end its header", 5, after(func(w *world) {
		w.set("GRAPHTOKEN_AUTHORITY=")
		w.hold(entry{ana, microsoft, "common", "app", "a\r\nb"})
	}, "token"), []string{"tokens.json", "graphtoken refresh"}},

	// The users.
	{"two users, and no flag names one", 3, after(twoUsers, "token"), []string{"tokens.json", ana, bo, "--user"}},
	{"a user who isn't there", 3, after(twoUsers, "token", "--user", "zoe@contoso.com"), []string{"tokens.json", ana, bo, "graphtoken login --client-id ID --user zoe@contoso.com"}},
	{"logout of an application that nobody uses", 3, after(signedIn, "logout", "--client-id", "other"), []string{"tokens.json", "nobody to sign out", "graphtoken status"}},
	{"logout of a user who isn't there", 3, after(twoUsers, "logout", "--user", "zoe@contoso.com"), []string{"tokens.json", "zoe@contoso.com"}},
	{"a refresh token that was revoked", 4, after(func(w *world) { signedIn(w); w.idp.Revoke(ana) }, "refresh"), []string{"tokens.json", "graphtoken login"}},

	// The store.
	{"a Redis that is down", 5, of("token", "--store", "redis://:"+storePassword+"@"+nowhere+"/0#ana"), []string{nowhere + "/0", `"ana"`, "graphtoken doctor URL (the same as before: redis://…@" + nowhere + "/0#ana)"}},
	{"a Redis that is down, without a password", 5, of("token", "--store", "redis://"+nowhere+"/0#ana"), []string{"graphtoken doctor redis://" + nowhere + "/0#ana"}},
	{"a Redis that is down, at login", 5, of("login", "--client-id", "x", "--store", "redis://:"+storePassword+"@"+nowhere+"/0#ana"), []string{nowhere + "/0", `"ana"`, "graphtoken doctor"}},
	{"a Redis that is down, as the target of a copy", 5, after(signedIn, "copy", "store/tokens.json", "redis://:"+storePassword+"@"+nowhere+"/0"), []string{nowhere + "/0", "tokens.json", "graphtoken doctor"}},
	{"a Redis that is down, listed", 5, of("list", "--store", "redis://:"+storePassword+"@"+nowhere+"/0"), []string{nowhere + "/0", "graphtoken doctor"}},
	{"a host that there is not", 5, of("status", "--store", "redis://nobody.invalid/0#ana"), []string{"nobody.invalid", `"ana"`, "graphtoken doctor"}},
	{"a PostgreSQL that is down", 5, of("status", "--store", "postgres://mail:"+storePassword+"@"+nowhere+"/mail#ana"), []string{nowhere + "/mail", `"ana"`, "graphtoken doctor"}},
	{"a PostgreSQL that is down, with a database whose name is a kind of store", 5, of("status", "--store", "postgres://mail@"+nowhere+"/postgres#ana"), []string{nowhere + `/postgres: the record "ana" can't be read`}},
	{"a MySQL that is down", 5, of("status", "--store", "mysql://mail:"+storePassword+"@"+nowhere+"/mail#ana"), []string{nowhere + "/mail", "ana", "graphtoken doctor"}},
	{"a PostgreSQL that is down, with its password among the options", 5, of("login", "--client-id", "x", "--store", "postgres://"+nowhere+"/mail?user=mail&sslPassword="+storePassword+"#ana"), []string{nowhere + "/mail", "ana", "graphtoken doctor URL (the same as before: "}},
	{"a MySQL that is down, with a password where it can't be", 5, of("status", "--store", "mysql://"+nowhere+"/mail?password="+storePassword+"#ana"), []string{nowhere + "/mail", "ana", "graphtoken doctor"}},
	{"an S3 that is down", 5, after(withAWS, "status", "--store", "s3://bucket/x/?endpoint=http://"+nowhere+"&region=eu-west-1#ana"), []string{"s3://bucket/x/", `"ana"`, "graphtoken doctor"}},
	{"a Secrets Manager that is down", 5, after(withAWS, "status", "--store", "awssecrets://eu-west-1/x?endpoint=http://"+nowhere+"#ana"), []string{"awssecrets://eu-west-1/x", `"ana"`, "graphtoken doctor"}},
	{"a database without a file", 5, of("status", "--store", "sqlite:t.db#ana"), []string{"sqlite:t.db", "ana", "graphtoken login"}},
	{"a database in no directory", 5, of("status", "--store", "sqlite:missing/t.db#ana"), []string{"sqlite:missing/t.db", "ana", "graphtoken doctor"}},
	{"a directory in which others could put a file", 5, after(func(w *world) {
		if err := os.Chmod(w.mkdir("shared", 0o700), 0o777); err != nil {
			w.t.Fatal(err)
		}
	}, "token", "--store", "shared/t.json"), []string{"shared/t.json", "chmod", "graphtoken doctor"}},
	{"a file where a directory should be", 5, after(func(w *world) {
		if err := os.WriteFile(filepath.Join(w.dir, "blocked"), nil, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}, "login", "--client-id", "x", "--store", "blocked/sub/t.json"), []string{"blocked/sub/t.json", "graphtoken doctor"}},
	{"login to a variable", 5, of("login", "--client-id", "x", "--store", "env://TOKENS"), []string{"env://TOKENS", "?file=.env"}},
	{"a copy to a variable", 5, after(signedIn, "copy", "store/tokens.json", "env://TOKENS"), []string{"env://TOKENS", "?file=.env"}},

	{"a conformance suite of a store that is down", 5, of("conformance", "--store", "redis://:"+storePassword+"@"+nowhere+"/0"), []string{nowhere + "/0", "graphtoken doctor"}},
	{"purge of a store that is down", 5, of("purge", "--store", "redis://:"+storePassword+"@"+nowhere+"/0"), []string{nowhere + "/0", "graphtoken doctor"}},
	{"an import from a store that is down", 5, of("import", "redis://:"+storePassword+"@"+nowhere+"/0#ana"), []string{nowhere + "/0", `"ana"`, "graphtoken doctor"}},
	{"an import of a file that there is not", 3, of("import", "missing.json"), []string{"missing.json", "graphtoken import --help"}},
	{"an export of a record that is absent", 3, of("export", "there.json"), []string{"store/tokens.json", "no record", "graphtoken login"}},
	{"login finish without login start", 4, of("login", "finish"), []string{"store/tokens.json", "graphtoken login start"}},

	// The provider.
	{"a provider that is down", 6, after(func(w *world) { signedIn(w); w.idp.Close() }, "refresh"), []string{"tokens.json", "HTTPS_PROXY", "--authority"}},
	{"a provider that fails", 6, after(func(w *world) { signedIn(w); w.idp.Inject(entra.Refresh, entra.Unavailable()) }, "refresh"), []string{"tokens.json", "503"}},
	{"a provider whose certificate isn't trusted", 6, after(func(w *world) {
		w.set("GRAPHTOKEN_CA=", "GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient, "GRAPHTOKEN_CLIENT_SECRET=x")
	}, "login", "--client-credentials"), []string{"tokens.json", "certificate", "--ca"}},
	{"an application's wrong secret", 6, after(func(w *world) {
		w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient, "GRAPHTOKEN_CLIENT_SECRET="+storePassword)
	}, "login", "--client-credentials"), []string{"tokens.json", "secret"}},

	// The command line.
	{"a command that there is not", 2, of("tokne"), []string{"graphtoken --help"}},
	{"a flag that there is not", 2, of("token", "--colour"), []string{"--colour", "graphtoken token --help"}},
	{"a flag without its value", 2, of("token", "--store"), []string{"--store", "graphtoken token --help"}},
	{"a duration that is none", 2, of("token", "--min-validity", "soon"), []string{"--min-validity", "soon", "10m"}},
	{"a kind of store that there is not", 2, of("status", "--store", "gopher://hole"), []string{"gopher", "graphtoken help stores"}},
	{"an option that a store doesn't have", 2, of("status", "--store", "redis://host/0?colour=red#ana"), []string{"redis", "colour", "graphtoken help stores"}},
	{"a store of several without a record", 2, of("status", "--store", "redis://"+nowhere+"/0"), []string{nowhere + "/0", "#NAME", "--record"}},
	{"a record that is named twice", 2, of("status", "--store", "redis://"+nowhere+"/0#ana", "--record", "bo"), []string{"redis", "graphtoken help stores"}},
	{"a user and the application itself", 2, of("token", "--user", ana, "--client-credentials"), []string{"--user", "--client-credentials", "graphtoken token --help"}},
	{"login without an application", 2, of("login"), []string{"--client-id"}},
	{"login of an application without its secret", 2, of("login", "--client-credentials", "--client-id", "x"), []string{"--client-secret-file"}},
	{"login of an application at no tenant", 2, after(func(w *world) { w.set("GRAPHTOKEN_CLIENT_SECRET=x") }, "login", "--client-credentials", "--client-id", "x"), []string{"--tenant"}},
	{"an authority that is no URL", 2, of("login", "--client-id", "x", "--authority", "contoso"), []string{"contoso", "https://host/tenant"}},
	{"keys from two places", 2, after(func(w *world) { w.ok("keygen", "keys"); w.set("GRAPHTOKEN_KEYS=x") }, "status", "--key-file", "keys"), []string{"--key-file", "GRAPHTOKEN_KEYS"}},
	{"a file of keys that there is not", 2, of("status", "--key-file", "missing"), []string{"--key-file", "graphtoken keygen"}},
	{"a file of keys that has none", 2, after(func(w *world) {
		if err := os.WriteFile(filepath.Join(w.dir, "empty"), nil, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}, "status", "--key-file", "empty"), []string{"--key-file", "graphtoken keygen"}},
	{"a file of a secret that there is not", 2, of("token", "--client-secret-file", "missing"), []string{"--client-secret-file", "graphtoken help flags"}},
	{"rewrap without keys", 2, of("rewrap"), []string{"--key-file"}},
	{"keygen over a file", 2, after(func(w *world) { w.ok("keygen", "keys") }, "keygen", "keys"), []string{"keys", "another file"}},
	{"keygen in no directory", 2, of("keygen", "missing/keys"), []string{"missing/keys", "directory"}},
	{"copy with --store", 2, of("copy", "a", "b", "--store", "c"), []string{"--store", "graphtoken copy --help"}},
	{"copy of a store to one record", 2, after(signedIn, "copy", "store/", "there.json"), []string{"there.json", "#NAME"}},

	// Other programs.
	{"exec of a program that there is not", 127, after(signedIn, "exec", "--", "nosuchprogram"), []string{"nosuchprogram", "graphtoken exec"}},
	{"status of an agent that doesn't run", 3, of("agent", "status"), []string{"agent.sock", "graphtoken agent"}},
}

func twoUsers(w *world) { w.login(ana); w.login(bo) }

func withAWS(w *world) {
	w.set("AWS_ACCESS_KEY_ID="+s3test.AccessKey, "AWS_SECRET_ACCESS_KEY="+s3test.SecretKey, "AWS_MAX_ATTEMPTS=1")
}

// encrypted has a record that is encrypted with a key of the file "keys", and a key in the
// file "other".
func encrypted(args ...string) func(*testing.T, *world) []string {
	return after(func(w *world) {
		w.ok("keygen", "keys")
		w.ok("keygen", "other")
		if r := w.login(ana, "--key-file", "keys"); r.code != 0 {
			w.t.Fatal(r.err)
		}
	}, args...)
}

// check runs the command, and reads its message as a user does.
func (f failure) check(t *testing.T) {
	w := newWorld(t)
	w.mkdir("store", 0o700)
	args := f.args(t, w)
	w.secrets[storePassword] = true
	r := w.run(args...)
	if r.code != f.code {
		t.Errorf("exit code %d, want %d", r.code, f.code)
	}
	for _, want := range f.says {
		if !strings.Contains(r.err, want) {
			t.Errorf("the message doesn't say %q", want)
		}
	}
	if found := goisms.FindString(r.err); found != "" {
		t.Errorf("the message says %q", found)
	}
	if strings.ContainsFunc(r.err, func(c rune) bool { return c < ' ' && c != '\n' || c == '\x7f' || c == '\u009b' }) {
		t.Error("the message has control characters")
	}
	if t.Failed() {
		t.Logf("graphtoken %s\n%s", strings.Join(args, " "), r.err)
	}
}

func TestEachFailureSaysWhatIsWrongWhereAndWhatToDo(t *testing.T) {
	for _, f := range failures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			f.check(t)
		})
	}
}

func TestEachFailureOfARealServerSaysWhatIsWrongWhereAndWhatToDo(t *testing.T) {
	for _, f := range []failure{
		{"a Redis that wants a password", 5, func(t *testing.T, w *world) []string {
			return []string{"token", "--store", "redis://" + lockedRedis(t) + "/0#ana"}
		}, []string{"/0", `"ana"`, "NOAUTH", "graphtoken help stores", "graphtoken doctor redis://"}},
		{"a Redis that wants another password", 5, func(t *testing.T, w *world) []string {
			return []string{"token", "--store", "redis://:" + storePassword + "@" + lockedRedis(t) + "/0#ana"}
		}, []string{"/0", `"ana"`, "WRONGPASS", "graphtoken help stores"}},
		{"a Redis that only reads", 5, func(t *testing.T, w *world) []string {
			s := redistest.Start(t)
			store := "redis://" + s.Addr + "/0#ana"
			w.login(ana, "--store", store)
			s.CLI(t, "REPLICAOF", "127.0.0.1", "1")
			return []string{"refresh", "--store", store}
		}, []string{"/0", "ana", "graphtoken doctor redis://"}},
		{"a database that isn't there", 5, func(t *testing.T, w *world) []string {
			return []string{"status", "--store", strings.Replace(postgresURL(sqltest.Postgres(t), "postgres"), "/postgres?", "/nosuch?", 1) + "#ana"}
		}, []string{"/nosuch", `"ana"`, `database "nosuch" does not exist`, "graphtoken doctor"}},
		{"a database without the table", 5, func(t *testing.T, w *world) []string {
			return []string{"status", "--store", postgresURL(sqltest.Postgres(t), "postgres") + "#ana"}
		}, []string{"/postgres", `"ana"`, "there is no table graphtoken", "graphtoken login"}},
		{"a user whom the database doesn't know", 5, func(t *testing.T, w *world) []string {
			return []string{"status", "--store", postgresURL(sqltest.Postgres(t), "mail:"+storePassword) + "#ana"}
		}, []string{"/postgres", `"ana"`, `role "mail" does not exist`, "graphtoken help stores"}},
		{"a database that offers no TLS, and knows no such user", 5, func(t *testing.T, w *world) []string {
			return []string{"status", "--store", strings.Replace(postgresURL(sqltest.Postgres(t), "mail"), "?sslmode=disable", "", 1) + "#ana"}
		}, []string{"/postgres", `role "mail" does not exist`}},
		{"a bucket that there is not", 5, func(t *testing.T, w *world) []string {
			withAWS(w)
			return []string{"status", "--store", "s3://nosuchbucket/?region=" + s3test.Region + "&endpoint=" + url.QueryEscape(s3test.Versitygw(t).URL) + "#ana"}
		}, []string{"s3://nosuchbucket/", "ana", "bucket", "graphtoken doctor"}},
		{"an access key that S3 doesn't know", 5, func(t *testing.T, w *world) []string {
			withAWS(w)
			w.set("AWS_ACCESS_KEY_ID=unknown")
			return []string{"status", "--store", "s3://bucket/?region=" + s3test.Region + "&endpoint=" + url.QueryEscape(s3test.Versitygw(t).URL) + "#ana"}
		}, []string{"s3://bucket/", "ana", "graphtoken help stores"}},
	} {
		t.Run(f.name, func(t *testing.T) { f.check(t) })
	}
}

// lockedRedis is the address of a server that wants a password.
func lockedRedis(t *testing.T) string {
	t.Helper()
	s := redistest.Start(t)
	s.CLI(t, "CONFIG", "SET", "requirepass", "right")
	return s.Addr
}

// A provider's message and the names in a record are a stranger's.
func TestTextOfStrangersIsCleanedBeforeItIsShown(t *testing.T) {
	const attack = "\x1b[2J\u009b31m\u202eeve"
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY=")
	w.hold(entry{attack, microsoft, "common", "app", "a"}, entry{bo + "\r\n" + attack, microsoft, "common", "app", "b"})
	for _, args := range [][]string{{"status"}, {"list"}, {"inspect"}, {"token"}, {"token", "--user", "zoe"}, {"logout"}, {"status", "--json"}, {"inspect", "--json"}, {"purge"}} {
		r := w.run(args...)
		if strings.ContainsAny(r.out+r.err, "\x1b\u009b\u202e\r") {
			t.Errorf("%v shows control characters: %q %q", args, r.out, r.err)
		}
	}
}

func TestADatabaseThatIsOnlyLookedAtIsNotMade(t *testing.T) {
	w := newWorld(t)
	w.fails(5, "status", "--store", "sqlite:t.db#ana")
	if _, err := os.Stat(filepath.Join(w.dir, "t.db")); err == nil {
		t.Error("status made a database")
	}
	if r := w.login(ana, "--store", "sqlite:t.db#ana"); r.code != 0 {
		t.Fatal(r.err)
	}
	w.ok("status", "--store", "sqlite:t.db#ana")
}

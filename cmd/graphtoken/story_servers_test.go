//go:build unix

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
	"github.com/graphtoken/graphtoken/internal/testkit/sqltest"
)

// keyFiles makes two keys, and a function that exchanges the file of keys which the
// variable names for one of these, in one step.
func (w *world) keyFiles() (older, newer string, use func(keys ...string)) {
	w.t.Helper()
	read := func(name string) string {
		w.ok("keygen", name)
		text, err := os.ReadFile(filepath.Join(w.dir, name))
		if err != nil {
			w.t.Fatal(err)
		}
		return string(text)
	}
	older, newer = read("older"), read("newer")
	used := filepath.Join(w.dir, "keys")
	w.set("GRAPHTOKEN_KEY_FILE=" + used)
	return older, newer, func(keys ...string) {
		w.t.Helper()
		if err := os.WriteFile(used+".new", []byte(strings.Join(keys, "")), 0o600); err != nil {
			w.t.Fatal(err)
		}
		if err := os.Rename(used+".new", used); err != nil {
			w.t.Fatal(err)
		}
	}
}

// load is programs that refresh records of a store, each again and again.
type load struct {
	t    *testing.T
	done []*atomic.Int64
	stop atomic.Bool
	wait sync.WaitGroup
}

func (w *world) load(store string, records ...string) *load {
	l := &load{t: w.t}
	for _, record := range records {
		done := new(atomic.Int64)
		l.done = append(l.done, done)
		l.wait.Go(func() {
			for !l.stop.Load() {
				r, err := w.try("refresh", "--store", store+"#"+record)
				if err != nil || r.code != 0 {
					w.t.Errorf("a program's refresh of %s: exit code %d, %v\n%s", record, r.code, err, r.err)
					return
				}
				done.Add(1)
			}
		})
	}
	w.t.Cleanup(l.end)
	return l
}

// again waits until each program has begun and finished a refresh from now on.
func (l *load) again() {
	l.t.Helper()
	for _, done := range l.done {
		before := done.Load()
		testkit.Until(l.t, "another refresh", func() bool { return done.Load() >= before+2 || l.t.Failed() })
	}
}

func (l *load) end() {
	l.stop.Store(true)
	l.wait.Wait()
}

// A user signs in, looks, moves the tokens from a file to Redis, PostgreSQL and S3,
// exchanges the key while programs refresh, breaks something, and asks the doctor.
func TestTheWholeStoryOnRealServers(t *testing.T) {
	redis, postgres, gateway := redistest.Start(t), sqltest.Postgres(t), s3test.Versitygw(t)
	w := newWorld(t)
	older, newer, use := w.keyFiles()
	use(older)

	file := filepath.Dir(w.file()) + "/"
	for record, user := range map[string]string{"ana": ana, "bo": bo, "idle": ana} {
		if r := w.login(user, "--store", "file:"+file+"#"+record); r.code != 0 {
			t.Fatal(r.err)
		}
	}
	w.set("GRAPHTOKEN_STORE=file:" + file + "#ana")
	if status := w.ok("status"); !strings.Contains(status, ana) {
		t.Errorf("the status is\n%s", status)
	}
	if list := w.ok("list", "--store", file); !strings.Contains(list, ana) || !strings.Contains(list, bo) {
		t.Errorf("the list is\n%s", list)
	}
	if who := w.ok("whoami", "--graph", strings.TrimSuffix(w.idp.Authority(""), "/")); !strings.Contains(who, ana) {
		t.Errorf("whoami shows %s", who)
	}
	token := w.ok("token")

	database, bucket := postgresURL(postgres, "postgres"), w.s3At(gateway.URL)
	from := file
	for _, to := range []string{"redis://" + redis.Addr + "/0", database, bucket} {
		if got := w.copies(from, to); got["ana"] != "copied" || got["bo"] != "copied" || len(got) != 3 {
			t.Fatalf("the copy to %s: %v", to, got)
		}
		if got := w.ok("token", "--store", to+"#ana"); got != token {
			t.Errorf("%s has another token", to)
		}
		w.finds(0, to)
		from = to
	}

	programs := w.load(bucket, "ana", "ana", "bo")
	programs.again()
	use(older, newer)
	programs.again()
	use(newer, older)
	programs.again()
	if out := w.ok("rewrap", "--json", "--store", bucket); !strings.Contains(out, `"failed": 0`) || !strings.Contains(out, `"left": 0`) {
		t.Errorf("rewrap says %s", out)
	}
	use(newer)
	programs.again()
	programs.end()
	for _, record := range []string{"ana", "bo", "idle"} { // no program refreshes the last
		w.ok("token", "--store", bucket+"#"+record)
	}
	if g := w.idp.Grants(); g.ReuseDetected != 0 {
		t.Errorf("%d spent tokens were presented", g.ReuseDetected)
	}
	use(older)
	w.fails(5, "token", "--store", bucket+"#ana")
	use(newer)

	client, name := s3test.Client(gateway.URL), between(bucket, "s3://", "/")
	key := "tokens/bo"
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &name, Key: &key, Body: strings.NewReader("{")}); err != nil {
		t.Fatal(err)
	}
	if bad := w.finds(5, bucket, "record bo"); strings.Contains(bad, "record ana") {
		t.Errorf("of a broken record, the doctor finds\n%s", bad)
	}
	if r := w.fails(5, "token", "--store", bucket+"#bo"); !strings.Contains(r.err, "bo") {
		t.Errorf("the message is %s", r.err)
	}
	gateway.Stop(t)
	if r := w.fails(5, "token", "--store", bucket+"#ana"); !strings.Contains(r.err, "graphtoken doctor") {
		t.Errorf("the message is %s", r.err)
	}
	w.finds(5, bucket, "error reach")
	gateway.Restart(t)
	w.ok("token", "--store", bucket+"#ana")
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &name, Key: &key}); err != nil {
		t.Fatal(err)
	}
	if r := w.login(bo, "--store", bucket+"#bo"); r.code != 0 {
		t.Fatal(r.err)
	}
	w.finds(0, bucket)
	redis.CLI(t, "config", "set", "maxmemory-policy", "allkeys-lru")
	w.finds(5, "redis://"+redis.Addr+"/0", "eviction")
}

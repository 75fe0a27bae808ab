package redis_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/lateanswer"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

// lease is how long leases last that tests let expire.
const lease = 500 * time.Millisecond

// open returns a backend on addr, and the client it uses.
func open(t testing.TB, addr string, hooks ...goredis.Hook) (*redis.Backend, *goredis.Client) {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{Addr: addr})
	t.Cleanup(func() { client.Close() })
	for _, h := range hooks {
		client.AddHook(h)
	}
	return on(t, client), client
}

func on(t testing.TB, client goredis.UniversalClient) *redis.Backend {
	t.Helper()
	b, err := redis.New(client, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func save(t testing.TB, b *redis.Backend, key, data string, known core.Version) core.Version {
	t.Helper()
	v, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: known})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNewRefusesClientsThatWouldAnswerWrongly(t *testing.T) {
	one := goredis.NewClient(&goredis.Options{})
	for name, k := range map[string]struct {
		client goredis.UniversalClient
		prefix string
	}{
		"no client":                       {nil, ""},
		"a Ring":                          {goredis.NewRing(&goredis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}}), ""},
		"reading from its own cache":      {goredis.NewClient(&goredis.Options{Protocol: 3, ClientSideCacheConfig: &goredis.ClientSideCacheConfig{}}), ""},
		"reading from replicas":           {goredis.NewClusterClient(&goredis.ClusterOptions{ReadOnly: true}), ""},
		"reading from the nearest":        {goredis.NewClusterClient(&goredis.ClusterOptions{RouteByLatency: true}), ""},
		"reading from any":                {goredis.NewClusterClient(&goredis.ClusterOptions{RouteRandomly: true}), ""},
		"an empty hash tag in the prefix": {one, "a{}b"},
	} {
		if b, err := redis.New(k.client, redis.Options{Prefix: k.prefix}); err == nil || b != nil {
			t.Errorf("%s: %v, %v", name, b, err)
		}
		if k.client != nil && k.client != one {
			k.client.Close()
		}
	}
	for _, unset := range []goredis.UniversalClient{(*goredis.Client)(nil), (*goredis.ClusterClient)(nil), (*goredis.Ring)(nil), (*goredis.AutoPipeliner)(nil)} {
		if b, err := redis.New(unset, redis.Options{}); err == nil || b != nil {
			t.Errorf("a nil %T: %v, %v", unset, b, err)
		}
	}
	for _, prefix := range []string{"", "tokens:", "{app}:", "a{b"} {
		if _, err := redis.New(one, redis.Options{Prefix: prefix}); err != nil {
			t.Errorf("prefix %q: %v", prefix, err)
		}
	}
	one.Close()
}

func TestNamesStayTogetherWhateverTheKey(t *testing.T) {
	server := miniredis.RunT(t)
	b, client := open(t, server.Addr())
	for key, record := range map[string]string{
		"o365_token.txt":  "{o365_token.txt}",
		"ana@contoso.com": "{ana%40contoso.com}",
		"}a{":             "{%7Da%7B}",
		"{}":              "{%7B%7D}",
	} {
		save(t, b, key, "1", core.Absent)
		lease, err := b.Acquire(t.Context(), key, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{record, record + ":lease"} {
			if n, err := client.Exists(t.Context(), name).Result(); n != 1 || err != nil {
				t.Errorf("key %q has no %q (%v)", key, name, err)
			}
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestPrefixesKeepApartEvenWhereOneBeginsTheOther(t *testing.T) {
	server := miniredis.RunT(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	defer client.Close()
	for _, prefix := range []string{"", "a", "a*", "a{k}", "a{k}{"} {
		b, err := redis.New(client, redis.Options{Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		save(t, b, "k", "1", core.Absent)
		var keys []string
		for key, err := range b.Keys(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		if fmt.Sprint(keys) != "[k]" {
			t.Errorf("prefix %q lists %q", prefix, keys)
		}
	}
}

func TestARecordNeverExpires(t *testing.T) {
	b, client := open(t, redistest.Start(t).Addr)
	_, err := b.ShouldRefresh(t.Context(), "k", core.RefreshRequest{
		Seen: core.Absent,
		Refresh: func(ctx context.Context, current core.Record) error {
			_, err := b.Save(ctx, "k", core.Record{Data: []byte("1"), Version: current.Version})
			return err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if ttl, err := client.TTL(t.Context(), "{k}").Result(); ttl != -1 || err != nil {
		t.Errorf("TTL = %v, %v", ttl, err)
	}
}

func TestModifiedIsTheServersClock(t *testing.T) {
	b, client := open(t, redistest.Start(t).Addr)
	before, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	save(t, b, "k", "1", core.Absent)
	after, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	rec, err := b.Load(t.Context(), "k")
	if err != nil || rec.Modified.Before(before) || rec.Modified.After(after) {
		t.Errorf("saved between %v and %v, Modified = %v, %v", before, after, rec.Modified, err)
	}
}

func TestAKeyOfAnotherProgramIsCorruptAndNotAbsent(t *testing.T) {
	b, client := open(t, redistest.Start(t).Addr)
	for kind, make := range map[string]*goredis.Cmd{
		"a string":          client.Do(t.Context(), "SET", "{a string}", "x"),
		"another hash":      client.Do(t.Context(), "HSET", "{another hash}", "colour", "red"),
		"without a version": client.Do(t.Context(), "HSET", "{without a version}", "data:V", "{}"),
		"without data":      client.Do(t.Context(), "HSET", "{without data}", "version", "V", "data:U", "{}"),
	} {
		if make.Err() != nil {
			t.Fatal(make.Err())
		}
		key := strings.ReplaceAll(kind, " ", "_")
		client.Rename(t.Context(), "{"+kind+"}", "{"+key+"}")
		if _, err := b.Load(t.Context(), key); !errors.Is(err, core.ErrCorrupt) {
			t.Errorf("Load of %s = %v, want ErrCorrupt", kind, err)
		}
		if ok, err := b.Check(t.Context(), key); !ok || err != nil {
			t.Errorf("Check of %s = %v, %v", kind, ok, err)
		}
		if _, err := b.Save(t.Context(), key, core.Record{Data: []byte("1"), Version: core.Absent}); err == nil {
			t.Errorf("Save with Absent overwrites %s", kind)
		}
	}
}

func TestEachOperationIsOneRoundTrip(t *testing.T) {
	trips := new(counter)
	b, _ := open(t, redistest.Start(t).Addr, trips)
	v := save(t, b, "k", "1", core.Absent)
	held, err := b.Acquire(t.Context(), "k", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(held.Renew(t.Context(), time.Hour), held.Release(t.Context()), b.Delete(t.Context(), "k")); err != nil {
		t.Fatal(err)
	}
	save(t, b, "k", "1", core.Absent) // the scripts are known now
	old := save(t, b, "large", large("1"), core.Absent)
	save(t, b, "large", large("2"), old) // and large records have a connection
	for op, do := range map[string]func() error{
		"Load":  func() error { _, err := b.Load(t.Context(), "k"); return err },
		"Check": func() error { _, err := b.Check(t.Context(), "k"); return err },
		"Save": func() error {
			_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: core.AnyVersion})
			return err
		},
		"Delete": func() error { return b.Delete(t.Context(), "other") },
		"a Save in vain": func() error {
			_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: v})
			if !errors.Is(err, core.ErrConflict) {
				return fmt.Errorf("%w, want ErrConflict", err)
			}
			return nil
		},
		"Load and Save of a large one": func() error {
			rec, err := b.Load(t.Context(), "large")
			if err != nil {
				return err
			}
			trips.n.Add(-1)
			_, err = b.Save(t.Context(), "large", rec)
			return err
		},
		"a Save of a large one in vain": func() error {
			_, err := b.Save(t.Context(), "large", core.Record{Data: []byte(large("3")), Version: old})
			if !errors.Is(err, core.ErrConflict) {
				return fmt.Errorf("%w, want ErrConflict", err)
			}
			return nil
		},
	} {
		before := trips.n.Load()
		if err := do(); err != nil {
			t.Errorf("%s: %v", op, err)
		}
		if n := trips.n.Load() - before; n != 1 {
			t.Errorf("%s takes %d round trips", op, n)
		}
	}
}

// large is a record too large to go through a script.
func large(data string) string { return strings.Repeat(data, 100<<10/len(data)) }

func TestALargeSaveLeavesNoOtherField(t *testing.T) {
	b, client := open(t, redistest.Start(t).Addr)
	fields := func(key string) int64 {
		n, err := client.HLen(t.Context(), "{"+key+"}").Result()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	replace := func(known core.Version) error {
		_, err := b.Save(t.Context(), "k", core.Record{Data: []byte(large("x")), Version: known})
		return err
	}
	first := save(t, b, "k", large("1"), core.Absent)
	if err := replace(first); err != nil || fields("k") != 3 {
		t.Errorf("replaced: %d fields, %v", fields("k"), err)
	}
	if err := replace(first); !errors.Is(err, core.ErrConflict) || fields("k") != 3 {
		t.Errorf("in vain: %d fields, %v", fields("k"), err)
	}
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if err := replace(first); !errors.Is(err, core.ErrConflict) || fields("k") != 0 {
		t.Errorf("in vain, where nothing is: %d fields, %v", fields("k"), err)
	}
}

// counter counts round trips: commands, and pipelines as a whole, but not what
// a connection begins with.
type counter struct{ n atomic.Int64 }

func (c *counter) count(first goredis.Cmder) {
	if name := first.Name(); name != "hello" && name != "client" {
		c.n.Add(1)
	}
}

func (c *counter) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (c *counter) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		c.count(cmd)
		return next(ctx, cmd)
	}
}

func (c *counter) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		c.count(cmds[0])
		return next(ctx, cmds)
	}
}

// deaf loses the answer to the next command: the server has done it, and the
// client sends it again.
type deaf struct{ next atomic.Bool }

func (d *deaf) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	return &deafConn{conn, d}, err
}

type deafConn struct {
	net.Conn
	deaf *deaf
}

func (c *deafConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.deaf.next.CompareAndSwap(true, false) {
		c.Close()
		return 0, net.ErrClosed
	}
	return n, err
}

func TestASaveWhoseAnswerIsLostIsNoConflictWithItself(t *testing.T) {
	server := redistest.Start(t)
	d := new(deaf)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Dialer: d.dial})
	defer client.Close()
	b := on(t, client)
	v := save(t, b, "k", "0", core.Absent)
	for _, write := range []struct {
		data string
		any  bool
	}{{"1", false}, {large("2"), false}, {large("3"), false}, {"4", true}} {
		known := v
		if write.any {
			known = core.AnyVersion
		}
		d.next.Store(true)
		v = save(t, b, "k", write.data, known)
		if d.next.Load() {
			t.Fatal("no answer was lost: the test proves nothing")
		}
		if rec, err := b.Load(t.Context(), "k"); err != nil || string(rec.Data) != write.data || rec.Version != v {
			t.Errorf("Load = %d bytes, %q, %v; saved were %d as version %q", len(rec.Data), rec.Version, err, len(write.data), v)
		}
	}
	d.next.Store(true)
	save(t, b, "new", "1", core.Absent)
	if _, err := b.Acquire(t.Context(), "warm", time.Hour); err != nil {
		t.Fatal(err)
	}
	d.next.Store(true)
	if _, err := b.Acquire(t.Context(), "k", time.Hour); err != nil {
		t.Errorf("Acquire finds itself in the way: %v", err)
	}
	if d.next.Load() {
		t.Error("no answer was lost: the test proves nothing")
	}
}

func TestAnErrorOfTheServerStaysReachable(t *testing.T) {
	server := miniredis.RunT(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr(), MaxRetries: -1})
	defer client.Close()
	b := on(t, client)
	v := save(t, b, "k", "1", core.Absent)
	for said, is := range map[string]func(error) bool{
		"READONLY You can't write against a read only replica.":   goredis.IsReadOnlyError,
		"LOADING Redis is loading the dataset in memory":          goredis.IsLoadingError,
		"CLUSTERDOWN The cluster is down":                         goredis.IsClusterDownError,
		"MASTERDOWN Link with MASTER is down":                     goredis.IsMasterDownError,
		"NOREPLICAS Not enough good replicas to write.":           goredis.IsNoReplicasError,
		"OOM command not allowed when used memory > 'maxmemory'.": goredis.IsOOMError,
		"NOPERM this user has no permissions":                     goredis.IsPermissionError,
	} {
		server.SetError(said)
		_, loaded := b.Load(t.Context(), "k")
		_, saved := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: v})
		_, checked := b.Check(t.Context(), "k")
		_, acquired := b.Acquire(t.Context(), "k", time.Hour)
		for op, err := range map[string]error{
			"Load": loaded, "Save": saved, "Check": checked, "Acquire": acquired,
			"Delete": b.Delete(t.Context(), "k"), "Ping": b.Ping(t.Context()),
		} {
			var reply goredis.Error
			if !errors.As(err, &reply) || !is(reply) {
				t.Errorf("%s = %v, want %s", op, err, said)
			}
			for _, other := range []error{core.ErrNotFound, core.ErrConflict, core.ErrLeaseHeld, core.ErrReadOnly, core.ErrCorrupt} {
				if errors.Is(err, other) {
					t.Errorf("%s = %v, which is %v", op, err, other)
				}
			}
		}
		server.SetError("")
	}
}

// Servers quote the arguments of a command that they don't know.
func TestAServerWithoutScriptsDoesntQuoteTheRecord(t *testing.T) {
	for _, unknown := range []string{"EVALSHA", "EVAL", "HSET"} {
		b, _ := open(t, redistest.Start(t, "--rename-command", unknown, "").Addr)
		for _, data := range []string{"s3cret", large("s3cret")} {
			for _, known := range []core.Version{core.AnyVersion, core.Absent, "another"} {
				_, err := b.Save(t.Context(), "k", core.Record{Data: []byte(data), Version: known})
				if err == nil || strings.Contains(err.Error(), "s3c") {
					t.Errorf("without %s: Save = %v", unknown, err)
				}
			}
		}
	}
}

func TestAFullServerKeepsItsRecords(t *testing.T) {
	b, client := open(t, redistest.Start(t).Addr)
	versions := map[string]core.Version{}
	for _, key := range []string{"small", "large"} {
		versions[key] = save(t, b, key, large(key), core.Absent)
	}
	if err := client.ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	for key, data := range map[string]string{"small": "2", "large": large("2")} {
		for _, known := range []core.Version{versions[key], core.AnyVersion} {
			_, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: known})
			if reply := goredis.Error(nil); !errors.As(err, &reply) || !goredis.IsOOMError(reply) {
				t.Errorf("Save of a %s record = %v, want OOM", key, err)
			}
		}
		if rec, err := b.Load(t.Context(), key); err != nil || string(rec.Data) != large(key) || rec.Version != versions[key] {
			t.Errorf("Load = %d bytes, %v", len(rec.Data), err)
		}
		if n, err := client.HLen(t.Context(), "{"+key+"}").Result(); n != 3 || err != nil {
			t.Errorf("%d fields (%v)", n, err)
		}
	}
}

func TestAForbiddenSaveStoresNothing(t *testing.T) {
	server := redistest.Start(t)
	server.CLI(t, "acl", "setuser", "timeless", "on", ">secret", "allkeys", "allchannels", "+@all", "-time")
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Username: "timeless", Password: "secret"})
	defer client.Close()
	if _, err := on(t, client).Save(t.Context(), "k", core.Record{Data: []byte("1"), Version: core.AnyVersion}); err == nil {
		t.Error("Save = nil")
	}
	if n, err := client.Exists(t.Context(), "{k}").Result(); n != 0 || err != nil {
		t.Errorf("half a record is there (%v)", err)
	}
}

func TestPingWarnsOfEviction(t *testing.T) {
	server := redistest.Start(t)
	b, client := open(t, server.Addr)
	for policy, evicts := range map[string]bool{
		"noeviction": false, "volatile-lru": false, "volatile-ttl": false,
		"allkeys-lru": true, "allkeys-lfu": true, "allkeys-random": true,
	} {
		if err := client.ConfigSet(t.Context(), "maxmemory-policy", policy).Err(); err != nil {
			t.Fatal(err)
		}
		err := b.Ping(t.Context())
		if errors.Is(err, redis.ErrEvicts) != evicts || !evicts && err != nil {
			t.Errorf("%s: %v", policy, err)
		}
		if evicts && !strings.Contains(err.Error(), policy) {
			t.Errorf("%v doesn't name %s", err, policy)
		}
	}
}

func TestPersistsFindsAServerThatWritesNothingToDiskAndPingAcceptsOne(t *testing.T) {
	server := redistest.Start(t)
	b, client := open(t, server.Addr)
	for _, c := range []struct {
		name, save, appendOnly string
		volatile               bool
	}{
		{"nothing is written", "", "no", true},
		{"snapshots are taken", "3600 1", "no", false},
		{"there is an append-only file", "", "yes", false},
	} {
		for option, value := range map[string]string{"save": c.save, "appendonly": c.appendOnly} {
			if err := client.ConfigSet(t.Context(), option, value).Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Persists(t.Context()); errors.Is(err, redis.ErrVolatile) != c.volatile || !c.volatile && err != nil {
			t.Errorf("%s: Persists = %v", c.name, err)
		}
		if err := b.Ping(t.Context()); err != nil {
			t.Errorf("%s: Ping = %v", c.name, err)
		}
	}
}

func TestPingFindsEvictionOnAServerThatForbidsConfig(t *testing.T) {
	server := redistest.Start(t)
	server.CLI(t, "config", "set", "maxmemory-policy", "allkeys-lfu")
	server.CLI(t, append([]string{"acl", "setuser", "tokens", "on", ">secret"}, append(leastPermissions, "+info")...)...)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Username: "tokens", Password: "secret"})
	defer client.Close()
	b, err := redis.New(client, redis.Options{Prefix: "t:"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Ping(t.Context()); !errors.Is(err, redis.ErrEvicts) || !strings.Contains(err.Error(), "allkeys-lfu") {
		t.Errorf("Ping = %v", err)
	}
}

func TestSpaceIsTheServersMemoryAndItsLimit(t *testing.T) {
	server := redistest.Start(t)
	b, _ := open(t, server.Addr)
	if used, most, err := b.Space(t.Context()); used <= 0 || most != 0 || err != nil {
		t.Errorf("without a limit: %d of %d, %v", used, most, err)
	}
	server.CLI(t, "config", "set", "maxmemory", "64mb")
	if used, most, err := b.Space(t.Context()); used <= 0 || most != 64<<20 || err != nil {
		t.Errorf("%d of %d, %v", used, most, err)
	}
	server.CLI(t, append([]string{"acl", "setuser", "tokens", "on", ">secret"}, leastPermissions...)...)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Username: "tokens", Password: "secret"})
	defer client.Close()
	if _, _, err := on(t, client).Space(t.Context()); !goredis.IsPermissionError(err) {
		t.Errorf("of a user who may not ask: %v", err)
	}
}

// leastPermissions are what the README says, for the prefix "t:".
var leastPermissions = []string{
	"resetkeys", "~t:*", "resetchannels", "&t:*", "-@all",
	"+hget", "+hgetall", "+hset", "+hdel", "+exists", "+del", "+get", "+set", "+pexpire", "+pttl", "+scan", "+time",
	"+eval", "+evalsha", "+multi", "+exec", "+publish", "+subscribe", "+unsubscribe", "+ping",
}

// redis-cli runs each line by itself.
func TestTheReadmeHasTheLeastPermissionsAsOneLine(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	want := "\n    ACL SETUSER app on >PASSWORD " + strings.ReplaceAll(strings.Join(leastPermissions, " "), "t:*", "tokens:*") + "\n\n"
	if !strings.Contains(string(readme), want) {
		t.Errorf("the README doesn't have the line%s", want)
	}
}

func TestTheLeastPermissionsAreEnough(t *testing.T) {
	server := redistest.Start(t)
	server.CLI(t, append([]string{"acl", "setuser", "tokens", "on", ">secret"}, leastPermissions...)...)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Username: "tokens", Password: "secret"})
	defer client.Close()
	useAll(t, client)
	wantRefusedQuestionsAlone(t, server)
}

// wantRefusedQuestionsAlone reads the server's log of what it refused: Ping asks
// for the eviction policy in two ways, and does without.
func wantRefusedQuestionsAlone(t *testing.T, server *redistest.Server) {
	t.Helper()
	refused := server.CLI(t, "acl", "log")
	if strings.Count(refused, "object\n") != strings.Count(refused, "object\nconfig|get\n")+strings.Count(refused, "object\ninfo\n") {
		t.Errorf("something else was refused than CONFIG GET and INFO:\n%s", refused)
	}
}

// useAll calls every method, under the prefix "t:".
func useAll(t *testing.T, client goredis.UniversalClient) {
	t.Helper()
	b, err := redis.New(client, redis.Options{Prefix: "t:"})
	if err != nil {
		t.Fatal(err)
	}
	v := save(t, b, "k", "1", core.Absent)
	for _, data := range []string{"2", large("2")} {
		v = save(t, b, "k", data, v)
		if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte(data), Version: "another"}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save in vain = %v", err)
		}
	}
	held, err := b.Acquire(t.Context(), "k", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- b.Wait(t.Context(), "k", v) }()
	for name, err := range map[string]error{
		"Renew":   held.Renew(t.Context(), time.Hour),
		"Ping":    b.Ping(t.Context()),
		"Release": held.Release(t.Context()),
		"Wait":    <-waiting,
		"Delete":  b.Delete(t.Context(), "k"),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, err := range b.Keys(t.Context()) {
		t.Errorf("Keys: %v", err)
	}
}

func TestWaitNeedsNoMessages(t *testing.T) {
	server := redistest.Start(t)
	server.CLI(t, "acl", "setuser", "mute", "on", ">secret", "allkeys", "+@all", "resetchannels")
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Username: "mute", Password: "secret"})
	defer client.Close()
	b := on(t, client)
	v := save(t, b, "k", "1", core.Absent)
	if _, err := b.Acquire(t.Context(), "k", time.Hour); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() { waiting <- b.Wait(t.Context(), "k", v) }()
	save(t, b, "k", "2", v)
	if err := <-waiting; err != nil {
		t.Error(err)
	}
}

func TestLargeRecordsNeedNoTransactions(t *testing.T) {
	server := redistest.Start(t)
	server.CLI(t, "acl", "setuser", "plain", "on", ">secret", "allkeys", "allchannels", "+@all", "-multi")
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr, Username: "plain", Password: "secret"})
	defer client.Close()
	b := on(t, client)
	v := save(t, b, "k", large("1"), core.Absent)
	v = save(t, b, "k", large("2"), v)
	if rec, err := b.Load(t.Context(), "k"); err != nil || string(rec.Data) != large("2") || rec.Version != v {
		t.Errorf("Load = %d bytes, %v", len(rec.Data), err)
	}
}

func TestManyWaitersShareOneConnection(t *testing.T) {
	server := redistest.Start(t)
	b, client := open(t, server.Addr)
	const keys = 50
	versions := make([]core.Version, keys)
	name := func(i int) string { return fmt.Sprint("k", i) }
	for i := range keys {
		versions[i] = save(t, b, name(i), "1", core.Absent)
		if _, err := b.Acquire(t.Context(), name(i), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	var waiters sync.WaitGroup
	for i := range keys {
		waiters.Go(func() {
			if err := b.Wait(t.Context(), name(i), versions[i]); err != nil {
				t.Error(err)
			}
		})
	}
	subscriptions := func() int {
		list, err := client.PubSubChannels(t.Context(), "*").Result()
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	testkit.Until(t, "each waiter has a subscription", func() bool { return subscriptions() == keys })
	if list, err := client.ClientList(t.Context()).Result(); err != nil || strings.Count(list, "cmd=subscribe") != 1 {
		t.Errorf("not one subscriber (%v):\n%s", err, list)
	}
	for i := range keys {
		save(t, b, name(i), "2", versions[i])
	}
	waiters.Wait()
	testkit.Until(t, "no subscription is left", func() bool { return subscriptions() == 0 })
}

// gated is a hook that lets the answers to scripts pass a gate.
type gated struct{ *lateanswer.Gate }

func (gated) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (g gated) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && strings.HasPrefix(cmd.Name(), "eval") {
			if err = g.Pass(ctx); err != nil {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

func (gated) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func TestACallerWhoLeavesLeavesNoLease(t *testing.T) {
	server := redistest.Start(t)
	another, _ := open(t, server.Addr)
	gate := lateanswer.NewGate()
	held, _ := open(t, server.Addr, gated{gate})
	lateanswer.NoLeaseStays(t, held, another, gate, nil)
}

func TestBackendsThatKeepTheSameRecordsAreOnePlace(t *testing.T) {
	at := func(client goredis.UniversalClient, prefix string) any {
		b, err := redis.New(client, redis.Options{Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		return b.Place()
	}
	client, another := goredis.NewClient(&goredis.Options{}), goredis.NewClient(&goredis.Options{})
	defer client.Close()
	defer another.Close()
	if first, second := at(client, "a:"), at(client, "a:"); first != second {
		t.Errorf("%v and %v are two", first, second)
	}
	for name, other := range map[string]any{
		"another prefix": at(client, "b:"),
		"another client": at(another, "a:"),
	} {
		if other == at(client, "a:") {
			t.Errorf("%s: one place", name)
		}
	}
}

func TestAZeroClientIsRefused(t *testing.T) {
	for _, client := range []goredis.UniversalClient{&goredis.Client{}, &goredis.ClusterClient{}} {
		if _, err := redis.New(client, redis.Options{}); err == nil {
			t.Errorf("%T: no error", client)
		}
	}
}

package env_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/core"
)

var prefixes atomic.Int32

// prefix is a namespace of the test's own, cleared when it ends.
func prefix(t interface{ Cleanup(func()) }) string {
	p := fmt.Sprintf("GRAPHTOKEN_TEST_%08d_", prefixes.Add(1))
	t.Cleanup(func() {
		for _, variable := range os.Environ() {
			if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, p) {
				os.Unsetenv(name)
			}
		}
	})
	return p
}

func open(t *testing.T, o env.Options) *env.Backend {
	t.Helper()
	b, err := env.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// everywhere runs a test on the process's variables and on a dotenv file.
func everywhere(t *testing.T, test func(t *testing.T, o env.Options)) {
	t.Run("variables", func(t *testing.T) { test(t, env.Options{Prefix: prefix(t)}) })
	t.Run("dotenv", func(t *testing.T) {
		test(t, env.Options{Prefix: "P_", DotEnv: filepath.Join(t.TempDir(), ".env")})
	})
}

func save(t *testing.T, b *env.Backend, key, data string, known core.Version) core.Version {
	t.Helper()
	v, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: known})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func load(t *testing.T, b *env.Backend, key string) core.Record {
	t.Helper()
	rec, err := b.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

var awkward = []string{
	"x",
	" ",
	"\n",
	" leading and trailing ",
	`{"RefreshToken": {"k": {"secret": "0.AX#;&|<>$HOME ${HOME} $(id) ` + "`id`" + ` %PATH% !x"}}}`,
	`{"name": "Zo\u00eb \"Z\" O'Brien \\ \\\\"}`,
	"{\n    \"indented\": {\n        \"by\": 4\n    }\n}",
	"A=1\nO365TOKEN=2\n# comment\n",
	"line ends of Windows\r\n}\r",
	`'single'`, `"double"`, `'`, `"`, `\`, `\\`, `\'`, `\n`, `ends with \`, `'"'"'`,
	"gAAAAABkfernet-looking_text==",
	"grüße 令牌 🔑 \u2028\u0085\u00a0",
	"base64:", "base64:e30=", "base64:not it",
	"\x00", "a\x00b", "\xff\xfe", "\x1f\x8b\x08 gzip",
	"#", " # comment", "a=b", "export A=b", "$", "${", "%%",
}

func TestEverySavedRecordIsLoaded(t *testing.T) {
	everywhere(t, func(t *testing.T, o env.Options) {
		b := open(t, o)
		keep := save(t, b, "neighbour", "stays", core.Absent)
		for _, data := range awkward {
			v := save(t, b, "k", data, core.AnyVersion)
			if rec := load(t, b, "k"); string(rec.Data) != data || rec.Version != v {
				t.Errorf("saved %q, loaded %q; version %q, loaded %q", data, rec.Data, v, rec.Version)
			}
		}
		if rec := load(t, b, "neighbour"); string(rec.Data) != "stays" || rec.Version != keep {
			t.Errorf("the neighbour became %q, version %q", rec.Data, rec.Version)
		}
	})
}

func FuzzWhateverIsSavedIsLoaded(f *testing.F) {
	for _, data := range awkward {
		f.Add([]byte(data), "k")
	}
	f.Add([]byte("{}"), "ana@contoso.com")
	dir := f.TempDir()
	backends := make([]*env.Backend, 2)
	for i, o := range []env.Options{{Prefix: prefix(f)}, {Prefix: "P_", DotEnv: filepath.Join(dir, ".env")}} {
		var err error
		if backends[i], err = env.New(o); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, key string) {
		if core.ValidateKey(key) != nil || len(data) == 0 {
			t.Skip()
		}
		for _, b := range backends {
			save(t, b, key, string(data), core.AnyVersion)
			if rec := load(t, b, key); !bytes.Equal(rec.Data, data) {
				t.Errorf("under %q saved %q, loaded %q", key, data, []byte(rec.Data))
			}
			var keys []string
			for k, err := range b.Keys(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				keys = append(keys, k)
			}
			if !slices.Equal(keys, []string{key}) {
				t.Errorf("Keys = %q, want only %q", keys, key)
			}
			if err := b.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestTextStandsInTheVariableAsItIs(t *testing.T) {
	p := prefix(t)
	b := open(t, env.Options{Prefix: p})
	for _, text := range []string{`{"AccessToken": {}}`, "{\n}\n", "gAAAAABk="} {
		save(t, b, env.DefaultKey, text, core.AnyVersion)
		if got := os.Getenv(p + "O365TOKEN"); got != text {
			t.Errorf("saved %q, the variable is %q", text, got)
		}
	}
}

func TestAllBackendsOfOnePlaceAreOneStore(t *testing.T) {
	everywhere(t, func(t *testing.T, o env.Options) {
		one, two := open(t, o), open(t, o)
		first := save(t, one, "k", "1", core.Absent)
		second := save(t, two, "k", "2", first)
		if _, err := one.Save(t.Context(), "k", core.Record{Data: []byte("3"), Version: first}); !errors.Is(err, core.ErrConflict) || !isOurs(err) {
			t.Errorf("Save over a version that is gone: %v", err)
		}
		if rec := load(t, one, "k"); string(rec.Data) != "2" || rec.Version != second {
			t.Errorf("after the conflict: %q, version %q, want %q", rec.Data, rec.Version, second)
		}
		lease, err := one.Acquire(t.Context(), "k", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := two.Acquire(t.Context(), "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) || !isOurs(err) {
			t.Errorf("Acquire of a lease that is held: %v", err)
		}
		if err := lease.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if err := lease.Release(t.Context()); !errors.Is(err, core.ErrLeaseLost) || !isOurs(err) {
			t.Errorf("a second Release: %v", err)
		}
	})
}

func TestARelativePathMeansTheDirectoryAtTheTimeOfNew(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	relative := open(t, env.Options{DotEnv: ".env"})
	t.Chdir(t.TempDir())
	save(t, relative, "K", "1", core.Absent)
	absolute := open(t, env.Options{DotEnv: filepath.Join(dir, ".env")})
	if got := load(t, absolute, "K"); string(got.Data) != "1" {
		t.Errorf("loaded %q", []byte(got.Data))
	}
}

func TestAChangeByAnotherProgramChangesTheVersion(t *testing.T) {
	p := prefix(t)
	b := open(t, env.Options{Prefix: p})
	seen := []core.Version{save(t, b, "k", "same", core.Absent)}
	notice := func(what string, v core.Version) {
		if slices.Contains(seen, v) {
			t.Errorf("%s: version %q again", what, v)
		}
		seen = append(seen, v)
	}
	notice("the same data again", save(t, b, "k", "same", seen[0]))
	os.Setenv(p+"k", "a stranger's")
	notice("a stranger's write", load(t, b, "k").Version)
	if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("x"), Version: seen[1]}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("Save over a stranger's write: %v", err)
	}
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	notice("deleted and there again", save(t, b, "k", "same", core.Absent))
}

func TestAnEmptyVariableIsCorruptNotAbsent(t *testing.T) {
	p := prefix(t)
	b := open(t, env.Options{Prefix: p})
	for _, value := range []string{"", "base64:", "base64:e30", "base64:e3=="} {
		os.Setenv(p+"k", value)
		if _, err := b.Load(t.Context(), "k"); !errors.Is(err, core.ErrCorrupt) || errors.Is(err, core.ErrNotFound) || !isOurs(err) {
			t.Errorf("Load of %q: %v", value, err)
		}
		if ok, err := b.Check(t.Context(), "k"); !ok || err != nil {
			t.Errorf("Check of %q: %v, %v", value, ok, err)
		}
		if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("{}"), Version: core.Absent}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save of what is taken for new over %q: %v", value, err)
		}
	}
	save(t, b, "k", "{}", core.AnyVersion)
	if got := load(t, b, "k"); string(got.Data) != "{}" {
		t.Errorf("mended: %q", []byte(got.Data))
	}
}

func TestAnErrorOfSizeTellsTheSizeAndTheLimit(t *testing.T) {
	everywhere(t, func(t *testing.T, o env.Options) {
		b := open(t, o)
		longest := strings.Repeat("/", core.MaxKeyLen)
		fits := strings.Repeat("a", b.MaxSize())
		for _, key := range []string{"k", longest} {
			save(t, b, key, fits, core.Absent)
			_, err := b.Save(t.Context(), key, core.Record{Data: []byte(fits + "a"), Version: core.AnyVersion})
			if !errors.Is(err, core.ErrTooLarge) || !isOurs(err) {
				t.Fatalf("%d bytes: %v", len(fits)+1, err)
			}
			for _, number := range []int{len(fits) + 1, len(fits)} {
				if !strings.Contains(err.Error(), strconv.Itoa(number)) {
					t.Errorf("%q doesn't say %d", err, number)
				}
			}
		}
		_, err := b.Save(t.Context(), "k", core.Record{Data: bytes.Repeat([]byte{0}, len(fits)), Version: core.AnyVersion})
		if !errors.Is(err, core.ErrTooLarge) {
			t.Errorf("binary data that is too large only once encoded: %v", err)
		}
	})
}

// The number is the kernel's: one byte more, and no process can be started.
func TestTheLimitIsWhatAnExecTakes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems bound all variables together")
	}
	p := prefix(t)
	b := open(t, env.Options{Prefix: p})
	start := func() error { return exec.Command("/proc/self/exe", "-test.run=^$").Run() }

	save(t, b, strings.Repeat("/", core.MaxKeyLen), strings.Repeat("a", b.MaxSize()), core.Absent)
	if err := start(); err != nil {
		t.Errorf("with the largest record that was taken: %v", err)
	}
	room := 131_071 - len(p+"K=")
	for _, c := range []struct {
		size int
		ok   bool
	}{{room, true}, {room + 1, false}} {
		os.Setenv(p+"K", strings.Repeat("a", c.size))
		if err := start(); (err == nil) != c.ok {
			t.Errorf("with %d bytes of NAME=value: %v", c.size+len(p+"K="), err)
		}
	}
}

func TestReadOnlyReadsOnly(t *testing.T) {
	everywhere(t, func(t *testing.T, o env.Options) {
		save(t, open(t, o), "k", "1", core.Absent)
		o.ReadOnly = true
		b := open(t, o)
		if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("2"), Version: core.AnyVersion}); !errors.Is(err, core.ErrReadOnly) || !isOurs(err) {
			t.Errorf("Save: %v", err)
		}
		if err := b.Delete(t.Context(), "k"); !errors.Is(err, core.ErrReadOnly) || !isOurs(err) {
			t.Errorf("Delete: %v", err)
		}
		if got := load(t, b, "k"); string(got.Data) != "1" {
			t.Errorf("afterwards: %q", []byte(got.Data))
		}
		decision, err := b.ShouldRefresh(t.Context(), "k", core.RefreshRequest{Seen: core.AnyVersion, Refresh: func(context.Context, core.Record) error { return nil }})
		if decision != core.RefreshedHere || err != nil {
			t.Errorf("ShouldRefresh: %v, %v", decision, err)
		}
	})
}

func TestKeysNeedsAPrefixAndSkipsOtherVariables(t *testing.T) {
	everywhere(t, func(t *testing.T, o env.Options) {
		b := open(t, o)
		want := []string{"O365TOKEN", "__reserved", "a/../b", "ana@contoso.com", "o365token", "x%41", strings.Repeat("é", 75)}
		for _, key := range want {
			save(t, b, key, "{}", core.Absent)
		}
		if o.DotEnv == "" {
			os.Setenv(o.Prefix+"%zz", "a stranger's")
		} else {
			stranger := open(t, env.Options{DotEnv: o.DotEnv})
			save(t, stranger, "DB_PASSWORD", "a stranger's", core.Absent)
		}
		var got []string
		for key, err := range b.Keys(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, key)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("Keys = %q, want %q", got, want)
		}
		o.Prefix = ""
		for key, err := range open(t, o).Keys(t.Context()) {
			if !errors.Is(err, errors.ErrUnsupported) || !isOurs(err) {
				t.Errorf("Keys without a prefix: %q, %v", key, err)
			}
		}
	})
}

func TestNewRefusesPrefixesNoNameCanBeginWith(t *testing.T) {
	for _, o := range []env.Options{
		{Prefix: "A=B"},
		{Prefix: "A\x00"},
		{Prefix: "A-", DotEnv: ".env"},
		{Prefix: strings.Repeat("A", 140_000)},
	} {
		if b, err := env.New(o); err == nil {
			t.Errorf("New(%.20q…) = %v, want an error", o.Prefix, b)
		}
	}
}

func TestACallWithAContextThatIsDoneChangesNothing(t *testing.T) {
	everywhere(t, func(t *testing.T, o env.Options) {
		b := open(t, o)
		save(t, b, "k", "1", core.Absent)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range calls(gone, b, "k") {
			if err := call(); !errors.Is(err, context.Canceled) || !isOurs(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, err := range b.Keys(gone) {
			if !errors.Is(err, context.Canceled) || !isOurs(err) {
				t.Errorf("Keys: %v", err)
			}
		}
		if err := b.Ping(gone); !errors.Is(err, context.Canceled) || !isOurs(err) {
			t.Errorf("Ping: %v", err)
		}
		if got := load(t, b, "k"); string(got.Data) != "1" {
			t.Errorf("afterwards: %q", []byte(got.Data))
		}
	})
}

func TestEveryMethodRefusesAnInvalidKey(t *testing.T) {
	b := open(t, env.Options{Prefix: prefix(t)})
	for _, key := range []string{"", "a\x00b", "\xff", strings.Repeat("k", 151)} {
		for name, call := range calls(t.Context(), b, key) {
			if err := call(); !errors.Is(err, core.ErrInvalidKey) || !isOurs(err) {
				t.Errorf("%s(%q): %v", name, key, err)
			}
		}
	}
}

func TestNoSaveIsLost(t *testing.T) {
	const workers, each = 8, 25
	everywhere(t, func(t *testing.T, o env.Options) {
		save(t, open(t, o), "k", "0", core.Absent)
		var all sync.WaitGroup
		for range workers {
			b := open(t, o)
			all.Go(func() {
				for done := 0; done < each; {
					rec, err := b.Load(t.Context(), "k")
					if err != nil {
						t.Error(err)
						return
					}
					n, _ := strconv.Atoi(string(rec.Data))
					rec.Data = []byte(strconv.Itoa(n + 1))
					switch _, err := b.Save(t.Context(), "k", rec); {
					case err == nil:
						done++
					case !errors.Is(err, core.ErrConflict):
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		if got := load(t, open(t, o), "k"); string(got.Data) != strconv.Itoa(workers*each) {
			t.Errorf("counted to %s, want %d", got.Data, workers*each)
		}
	})
}

func TestManyHandlesRefreshOnce(t *testing.T) {
	everywhere(t, func(t *testing.T, o env.Options) {
		stale := save(t, open(t, o), "k", "stale", core.Absent)
		var refreshes, elsewhere atomic.Int32
		var all sync.WaitGroup
		for range 50 {
			b := open(t, o)
			all.Go(func() {
				decision, err := b.ShouldRefresh(t.Context(), "k", core.RefreshRequest{
					Seen: stale,
					Refresh: func(ctx context.Context, current core.Record) error {
						refreshes.Add(1)
						_, err := b.Save(ctx, "k", core.Record{Data: []byte("fresh"), Version: current.Version})
						return err
					},
				})
				if err != nil {
					t.Error(err)
				}
				if decision == core.RefreshedElsewhere {
					elsewhere.Add(1)
				}
			})
		}
		all.Wait()
		if refreshes.Load() != 1 || elsewhere.Load() != 49 {
			t.Errorf("%d refreshes, %d waited; want 1 and 49", refreshes.Load(), elsewhere.Load())
		}
	})
}

func TestWaitersReturnWhenAnotherHandleSaves(t *testing.T) {
	o := env.Options{Prefix: prefix(t)}
	waiting, saving := open(t, o), open(t, o)
	v := save(t, saving, "k", "1", core.Absent)
	if _, err := saving.Acquire(t.Context(), "k", time.Minute); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var back atomic.Bool
		go func() {
			if err := waiting.Wait(t.Context(), "k", v); err != nil {
				t.Error(err)
			}
			back.Store(true)
		}()
		synctest.Wait()
		if back.Load() {
			t.Error("Wait returned before the save")
		}
		save(t, saving, "k", "2", v)
		synctest.Wait()
		if !back.Load() {
			t.Error("Wait did not return")
		}
	})
}

func BenchmarkLoad(b *testing.B) { benchmark(b, false) }
func BenchmarkSave(b *testing.B) { benchmark(b, true) }

func benchmark(b *testing.B, saves bool) {
	for name, o := range map[string]env.Options{
		"variables": {Prefix: prefix(b)},
		"dotenv":    {DotEnv: filepath.Join(b.TempDir(), ".env")},
	} {
		b.Run(name, func(b *testing.B) {
			backend, err := env.New(o)
			if err != nil {
				b.Fatal(err)
			}
			rec := core.Record{Data: bytes.Repeat([]byte("a"), 6<<10)}
			if _, err := backend.Save(b.Context(), "k", rec); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if saves {
					_, err = backend.Save(b.Context(), "k", rec)
				} else {
					_, err = backend.Load(b.Context(), "k")
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// calls are the methods on one key.
func calls(ctx context.Context, b *env.Backend, key string) map[string]func() error {
	return map[string]func() error{
		"Load": func() error { _, err := b.Load(ctx, key); return err },
		"Save": func() error {
			_, err := b.Save(ctx, key, core.Record{Data: []byte("2"), Version: core.AnyVersion})
			return err
		},
		"Check":  func() error { _, err := b.Check(ctx, key); return err },
		"Delete": func() error { return b.Delete(ctx, key) },
		"ShouldRefresh": func() error {
			_, err := b.ShouldRefresh(ctx, key, core.RefreshRequest{Seen: core.AnyVersion})
			return err
		},
		"Acquire": func() error { _, err := b.Acquire(ctx, key, time.Minute); return err },
		"Wait":    func() error { return b.Wait(ctx, key, core.Absent) },
	}
}

func isOurs(err error) bool {
	var e *core.Error
	return errors.As(err, &e) && e.Backend == "env"
}

func TestBackendsThatKeepTheSameRecordsAreOnePlace(t *testing.T) {
	at := func(o env.Options) any {
		b, err := env.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return b.Place()
	}
	if first, second := at(env.Options{}), at(env.Options{ReadOnly: true}); first != second {
		t.Errorf("%v and %v are two", first, second)
	}
	for name, other := range map[string]any{
		"another prefix": at(env.Options{Prefix: "A_"}),
		"a file":         at(env.Options{DotEnv: "a.env"}),
	} {
		if other == at(env.Options{}) {
			t.Errorf("%s: one place", name)
		}
	}
}

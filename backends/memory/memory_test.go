package memory_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
)

func open(t *testing.T) *memory.Backend {
	t.Helper()
	b, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func save(t *testing.T, b *memory.Backend, key, data string, known core.Version) core.Version {
	t.Helper()
	v, err := b.Save(t.Context(), key, core.Record{Data: []byte(data), Version: known})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestNoSliceIsSharedWithTheCaller(t *testing.T) {
	b := open(t)
	mine := []byte("saved")
	if _, err := b.Save(t.Context(), "k", core.Record{Data: mine, Version: core.AnyVersion}); err != nil {
		t.Fatal(err)
	}
	mine[0] = 'X'
	first, err := b.Load(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if string(first.Data) != "saved" {
		t.Errorf("a change to the saved slice reached the store: %q", []byte(first.Data))
	}
	first.Data[0] = 'Y'
	second, err := b.Load(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	if string(second.Data) != "saved" {
		t.Errorf("a change to a loaded slice reached the store: %q", []byte(second.Data))
	}
}

func TestAVersionNeverComesBack(t *testing.T) {
	b := open(t)
	var seen []core.Version
	for range 3 {
		for range 3 {
			v := save(t, b, "k", "the same", core.AnyVersion)
			if slices.Contains(seen, v) {
				t.Fatalf("version %q again, after %q", v, seen)
			}
			seen = append(seen, v)
		}
		if err := b.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSaveReplacesOnlyTheVersionItIsGiven(t *testing.T) {
	b := open(t)
	old := save(t, b, "k", "1", core.Absent)
	current := save(t, b, "k", "2", old)
	for _, known := range []core.Version{old, core.Absent, "made up"} {
		_, err := b.Save(t.Context(), "k", core.Record{Data: []byte("3"), Version: known})
		if !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save over version %q: %v, want a conflict", known, err)
		}
	}
	rec, err := b.Load(t.Context(), "k")
	if err != nil || string(rec.Data) != "2" || rec.Version != current {
		t.Errorf("after the conflicts: %q, version %q, %v", rec.Data, rec.Version, err)
	}
	if _, err := b.Save(t.Context(), "other", core.Record{Data: []byte("1"), Version: current}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("Save of an absent record over a version: %v, want a conflict", err)
	}
}

func TestModifiedIsTheTimeOfTheSave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := open(t)
		save(t, b, "k", "1", core.Absent)
		saved := time.Now()
		time.Sleep(time.Hour)
		rec, err := b.Load(t.Context(), "k")
		if err != nil || !rec.Modified.Equal(saved) {
			t.Errorf("Modified = %v, %v; saved at %v", rec.Modified, err, saved)
		}
	})
}

func TestACallWithAContextThatIsDoneChangesNothing(t *testing.T) {
	b := open(t)
	save(t, b, "k", "1", core.Absent)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls(gone, b, "k") {
		if err := call(); !errors.Is(err, context.Canceled) || !isOurs(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if rec, err := b.Load(t.Context(), "k"); err != nil || string(rec.Data) != "1" {
		t.Errorf("afterwards: %q, %v", rec.Data, err)
	}
	for _, err := range b.Keys(gone) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Keys: %v", err)
		}
	}
	if err := b.Ping(gone); !errors.Is(err, context.Canceled) {
		t.Errorf("Ping: %v", err)
	}
}

func TestEveryMethodRefusesAnInvalidKey(t *testing.T) {
	b := open(t)
	for _, key := range []string{"", "a\x00b", "\xff", strings.Repeat("k", 151)} {
		for name, call := range calls(t.Context(), b, key) {
			if err := call(); !errors.Is(err, core.ErrInvalidKey) || !isOurs(err) {
				t.Errorf("%s(%q): %v", name, key, err)
			}
		}
	}
}

func TestEmptyDataIsRefused(t *testing.T) {
	b := open(t)
	if _, err := b.Save(t.Context(), "k", core.Record{}); !errors.Is(err, core.ErrCorrupt) {
		t.Errorf("Save: %v", err)
	}
	if ok, err := b.Check(t.Context(), "k"); ok || err != nil {
		t.Errorf("Check: %v, %v", ok, err)
	}
}

func TestALeaseEndsWithItsTTLAndIsNotTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ctx := open(t), t.Context()
		frozen, err := b.Acquire(ctx, "k", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Acquire(ctx, "k", time.Minute); !errors.Is(err, core.ErrLeaseHeld) || !isOurs(err) {
			t.Errorf("a second Acquire: %v", err)
		}
		time.Sleep(time.Minute)
		successor, err := b.Acquire(ctx, "k", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := frozen.Renew(ctx, time.Minute); !errors.Is(err, core.ErrLeaseLost) || !isOurs(err) {
			t.Errorf("Renew of a lost lease: %v", err)
		}
		if err := frozen.Release(ctx); !errors.Is(err, core.ErrLeaseLost) || !isOurs(err) {
			t.Errorf("Release of a lost lease: %v", err)
		}
		if err := successor.Renew(ctx, time.Minute); err != nil {
			t.Errorf("the successor's lease was freed: %v", err)
		}
	})
}

func TestWaitersReturnWhenTheRecordChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ctx := open(t), t.Context()
		v := save(t, b, "k", "1", core.Absent)
		if _, err := b.Acquire(ctx, "k", time.Hour); err != nil {
			t.Fatal(err)
		}
		for change, do := range map[string]func(){
			"save":   func() { save(t, b, "k", "2", v) },
			"delete": func() { _ = b.Delete(ctx, "k") },
		} {
			rec, err := b.Load(ctx, "k")
			if err != nil {
				rec.Version = core.Absent
			}
			v = rec.Version
			var back atomic.Bool
			go func() {
				if err := b.Wait(ctx, "k", v); err != nil {
					t.Errorf("%s: %v", change, err)
				}
				back.Store(true)
			}()
			synctest.Wait()
			if back.Load() {
				t.Errorf("%s: Wait returned before it", change)
			}
			do()
			synctest.Wait()
			if !back.Load() {
				t.Errorf("%s: Wait did not return", change)
			}
			v = save(t, b, "k", "again", core.AnyVersion)
		}
	})
}

func TestManyCallersRefreshOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ctx := open(t), t.Context()
		stale := save(t, b, "k", "stale", core.Absent)
		var refreshes, elsewhere atomic.Int32
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				decision, err := b.ShouldRefresh(ctx, "k", core.RefreshRequest{
					Seen: stale,
					Refresh: func(ctx context.Context, current core.Record) error {
						refreshes.Add(1)
						time.Sleep(time.Second) // the provider thinks
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
		if refreshes.Load() != 1 || elsewhere.Load() != 99 {
			t.Errorf("%d refreshes, %d waited; want 1 and 99", refreshes.Load(), elsewhere.Load())
		}
	})
}

func TestARefreshThatFailsKeepsItsError(t *testing.T) {
	b := open(t)
	_, err := b.ShouldRefresh(t.Context(), "k", core.RefreshRequest{
		Seen:    core.Absent,
		Refresh: func(context.Context, core.Record) error { return core.ErrReauthRequired },
	})
	if err != core.ErrReauthRequired {
		t.Errorf("it became %v", err)
	}
}

func TestKeysListsStoredRecordsAndLetsTheLoopDelete(t *testing.T) {
	b := open(t)
	want := []string{"a", "ana@contoso.com", "Ü/../x"}
	for _, key := range want {
		save(t, b, key, "1", core.Absent)
	}
	var got []string
	for key, err := range b.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, key)
		if err := b.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("Keys = %q, want %q", got, want)
	}
}

func TestNothingPrintsARecord(t *testing.T) {
	b := open(t)
	save(t, b, "k", "hunter2", core.Absent)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("backend", "b", b)
	shown := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown += fmt.Sprintf(verb, b) + fmt.Sprintf(verb, struct{ b *memory.Backend }{b})
	}
	for _, secret := range []string{"hunter2", "104 117 110", "68756e"} {
		if strings.Contains(shown, secret) {
			t.Errorf("the record shows in %s", shown)
		}
	}
	if want := "memory.Backend(records=1)"; fmt.Sprintf("%+v", b) != want {
		t.Errorf("%%+v is %+v, want %s", b, want)
	}
	var none *memory.Backend
	if got := fmt.Sprint(none); got != "memory.Backend(nil)" {
		t.Errorf("a nil backend prints as %s", got)
	}
}

func BenchmarkLoad(b *testing.B) {
	backend, err := memory.New(memory.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := backend.Save(b.Context(), "k", core.Record{Data: make([]byte, 6<<10), Version: core.AnyVersion}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := backend.Load(b.Context(), "k"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSave(b *testing.B) {
	backend, err := memory.New(memory.Options{})
	if err != nil {
		b.Fatal(err)
	}
	rec := core.Record{Data: make([]byte, 6<<10)}
	b.ReportAllocs()
	for b.Loop() {
		if rec.Version, err = backend.Save(b.Context(), "k", rec); err != nil {
			b.Fatal(err)
		}
	}
}

// calls are the methods on one key.
func calls(ctx context.Context, b *memory.Backend, key string) map[string]func() error {
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
	return errors.As(err, &e) && e.Backend == "memory"
}

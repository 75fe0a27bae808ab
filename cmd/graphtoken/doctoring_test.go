package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/stores"
)

// careless overwrites whatever is stored.
type careless struct{ core.TokenBackend }

func (c careless) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	rec.Version = core.AnyVersion
	return c.TokenBackend.Save(ctx, key, rec)
}

// lookThenSave compares versions itself, and leaves a gap.
type lookThenSave struct{ core.TokenBackend }

func (l lookThenSave) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	there, err := l.Load(ctx, key)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return "", err
	}
	if rec.Version != there.Version {
		return "", core.ErrConflict
	}
	time.Sleep(time.Millisecond) // the gap, in which the others look, too; the time is synctest's
	rec.Version = core.AnyVersion
	return l.TokenBackend.Save(ctx, key, rec)
}

func TestADoctorTellsConditionalWritesFromOthers(t *testing.T) {
	for _, c := range []struct {
		name string
		wrap func(core.TokenBackend) core.TokenBackend
		want error
	}{
		{"a store that compares versions is sound", func(b core.TokenBackend) core.TokenBackend { return b }, nil},
		{"a store that overwrites is found", func(b core.TokenBackend) core.TokenBackend { return careless{b} }, errUnconditional},
		{"a store that looks before it saves is found", func(b core.TokenBackend) core.TokenBackend { return lookThenSave{b} }, errUnconditional},
		{"a store that stores something else is found", func(b core.TokenBackend) core.TokenBackend { return forgetful{b} }, errReadBack},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := c.wrap(inMemory(t))
				trial := &writing{one: b, two: b, enforces: true}
				if err := trial.conditions(t.Context()); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			})
		})
	}
}

func inMemory(t *testing.T) core.TokenBackend {
	t.Helper()
	b, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// trialOf is a checkup whose trial is in b, where records can be saved.
func trialOf(b core.TokenBackend) *checkup {
	at := &stores.Place{Kind: "memory", Backend: b}
	return &checkup{session: &session{}, place: place{Place: at}, now: time.Now(), trial: &trialPlace{pair: [2]*stores.Place{at, at}, saved: true}}
}

// refusing refuses one call, as a server does whose administrator forgot a right.
type refusing struct {
	core.TokenBackend
	call string
}

var errForbidden = errors.New("forbidden")

func (r refusing) refuses(call string) error {
	if call == r.call {
		return errForbidden
	}
	return nil
}

func (r refusing) Load(ctx context.Context, key string) (core.Record, error) {
	if err := r.refuses("load"); err != nil {
		return core.Record{}, err
	}
	return r.TokenBackend.Load(ctx, key)
}

func (r refusing) Check(ctx context.Context, key string) (bool, error) {
	if err := r.refuses("check"); err != nil {
		return false, err
	}
	return r.TokenBackend.Check(ctx, key)
}

func (r refusing) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if err := r.refuses("save"); err != nil {
		return "", err
	}
	return r.TokenBackend.Save(ctx, key, rec)
}

func (r refusing) Delete(ctx context.Context, key string) error {
	return errors.Join(r.refuses("delete"), r.TokenBackend.Delete(ctx, key))
}

func (r refusing) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	if err := r.refuses("lease"); err != nil {
		return nil, err
	}
	return r.TokenBackend.(core.Leaser).Acquire(ctx, key, ttl)
}

func (r refusing) Keys(ctx context.Context) iter.Seq2[string, error] {
	if err := r.refuses("list"); err != nil {
		return func(yield func(string, error) bool) { yield("", err) }
	}
	return r.TokenBackend.(core.Lister).Keys(ctx)
}

func TestADoctorNamesEachCallThatTheStoreRefuses(t *testing.T) {
	for _, call := range []string{"load", "check", "save", "delete", "lease", "list"} {
		t.Run(call, func(t *testing.T) {
			made := &calls{TokenBackend: refusing{inMemory(t), call}, trial: &trialPlace{}}
			made.make(t.Context())
			if len(made.refused) != 1 || !strings.HasPrefix(made.refused[0].Fact, call+" is refused: forbidden") || made.refused[0].Advice == "" {
				t.Errorf("the doctor finds %v", made.refused)
			}
			if saved, lists := made.trial.saved, made.trial.lists; saved != (call != "save") || lists != (call != "list") {
				t.Errorf("saved %t, lists %t", saved, lists)
			}
		})
	}
	made := &calls{TokenBackend: refusing{inMemory(t), ""}, trial: &trialPlace{}}
	if made.make(t.Context()); made.refused != nil {
		t.Errorf("of a store that refuses nothing, the doctor finds %v", made.refused)
	}
}

// A check's records are known, and so can be removed, once its calls have ended.
func TestAnInterruptWaitsForACheckThatStoresSomething(t *testing.T) {
	for kind, want := range map[use]error{tries: nil, asks: context.Canceled} {
		ctx, interrupt := context.WithCancel(t.Context())
		trialOf(inMemory(t)).look(ctx, check{"a check", kind, func(_ *checkup, ctx context.Context) []finding {
			interrupt()
			if err := ctx.Err(); !errors.Is(err, want) {
				t.Errorf("of kind %d: %v, want %v", kind, err, want)
			}
			return nil
		}})
	}
}

// twoLeases grants a lease to everybody.
type twoLeases struct{ core.TokenBackend }

func (l twoLeases) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	return l.TokenBackend.(core.Leaser).Acquire(ctx, key+fmt.Sprint(time.Now().UnixNano()), ttl)
}

func TestADoctorFindsALeaseThatTwoProcessesGet(t *testing.T) {
	if all := trialOf(inMemory(t)).leases(t.Context()); len(all) != 1 || all[0].Severity != fine {
		t.Errorf("of a sound store: %v", all)
	}
	if all := trialOf(twoLeases{inMemory(t)}).leases(t.Context()); len(all) != 1 || all[0].Severity != wrong || all[0].Advice == "" {
		t.Errorf("of a store that grants a lease twice: %v", all)
	}
}

// shifted is a store whose clock is wrong.
type shifted struct {
	core.TokenBackend
	by time.Duration
}

func (s shifted) Load(ctx context.Context, key string) (core.Record, error) {
	rec, err := s.TokenBackend.Load(ctx, key)
	rec.Modified = rec.Modified.Add(s.by)
	return rec, err
}

// timeless is a store without a clock.
type timeless struct{ core.TokenBackend }

func (s timeless) Load(ctx context.Context, key string) (core.Record, error) {
	rec, err := s.TokenBackend.Load(ctx, key)
	rec.Modified = time.Time{}
	return rec, err
}

func TestADoctorComparesTheClockWithTheStores(t *testing.T) {
	for _, c := range []struct {
		name     string
		wrap     func(core.TokenBackend) core.TokenBackend
		severity string
		fact     string
	}{
		{"a store whose clock agrees is fine", func(b core.TokenBackend) core.TokenBackend { return b }, fine, "agrees with the store's"},
		{"whole seconds are no difference", func(b core.TokenBackend) core.TokenBackend { return shifted{b, -time.Second} }, fine, "agrees"},
		{"a minute is risky", func(b core.TokenBackend) core.TokenBackend { return shifted{b, -time.Minute} }, warning, "1m0s ahead of the store's"},
		{"an hour is wrong", func(b core.TokenBackend) core.TokenBackend { return shifted{b, time.Hour} }, wrong, "1h0m0s behind the store's"},
		{"a store without a clock isn't compared", func(b core.TokenBackend) core.TokenBackend { return timeless{b} }, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want(t, trialOf(c.wrap(inMemory(t))).storeClock(t.Context()), c.severity, c.fact)
			})
		})
	}
}

// want expects one finding with advice, if it is bad news, or none for an empty severity.
func want(t *testing.T, all []finding, severity, fact string) {
	t.Helper()
	switch {
	case severity == "" && len(all) == 0:
	case len(all) != 1 || all[0].Severity != severity || !strings.Contains(all[0].Fact, fact):
		t.Errorf("the doctor finds %v, want %q with %q", all, severity, fact)
	case severity != fine && all[0].Advice == "":
		t.Errorf("it isn't said what to do: %v", all)
	}
}

func TestADoctorFindsADiskThatIsNearlyFull(t *testing.T) {
	for _, c := range []struct {
		name     string
		left     room
		severity string
		fact     string
	}{
		{"much room is fine", room{1 << 40, 1 << 20}, "", ""},
		{"a number of files without a limit is fine", room{1 << 40, -1}, "", ""},
		{"few bytes are risky", room{15 << 20, -1}, warning, "room for 15 MiB"},
		{"no bytes are wrong", room{200, 1 << 20}, wrong, "room for 1 KiB and 1048576 files"},
		{"few files are risky", room{1 << 40, 900}, warning, "900 files"},
		{"no files are wrong", room{1 << 40, 0}, wrong, "0 files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := &checkup{place: place{Place: &stores.Place{Kind: "file", Path: filepath.Join(t.TempDir(), "not", "there.json")}}}
			d.roomAt = func(string) (room, bool) { return c.left, true }
			want(t, d.diskSpace(t.Context()), c.severity, c.fact)
		})
	}
}

// sized is a store that can hold so much.
type sized struct {
	core.TokenBackend
	used, most int64
}

func (s sized) Space(context.Context) (used, most int64, err error) { return s.used, s.most, nil }
func (s sized) MaxSize() int                                        { return int(s.most) }

func TestADoctorFindsAStoreThatIsNearlyFull(t *testing.T) {
	for _, c := range []struct {
		name       string
		used, most int64
		severity   string
	}{
		{"half is fine", 32 << 20, 64 << 20, fine},
		{"nine tenths are risky", 58 << 20, 64 << 20, warning},
		{"all is wrong", 64 << 20, 64 << 20, wrong},
		{"a store without a limit is fine", 64 << 20, 0, fine},
	} {
		t.Run(c.name, func(t *testing.T) {
			want(t, trialOf(sized{inMemory(t), c.used, c.most}).space(t.Context()), c.severity, "")
		})
	}
}

func TestADoctorFindsARecordThatNearlyFillsItsPlace(t *testing.T) {
	for _, c := range []struct {
		name     string
		size     int64
		severity string
	}{
		{"half is fine", 32 << 10, ""},
		{"four fifths are risky", 52 << 10, warning},
		{"nearly all is wrong", 63 << 10, wrong},
	} {
		t.Run(c.name, func(t *testing.T) {
			want(t, trialOf(sized{inMemory(t), 0, 64 << 10}).nearLimit("ana", c.size), c.severity, "ana has ")
		})
	}
	b := inMemory(t)
	record := cacheOf(t, time.Now(), "ana")
	put(t, b, "ana", record)
	d := trialOf(sized{b, 0, int64(len(record))})
	d.Key = "ana"
	all := d.storedRecords(t.Context())
	if len(all) == 0 || all[0].Severity != wrong || !strings.Contains(all[0].Fact, "the next save may be refused") {
		t.Errorf("of the store, the doctor finds %v", all)
	}
}

// counting counts the loads of each record.
type counting struct {
	core.TokenBackend
	loads map[string]int
}

func (c counting) Load(ctx context.Context, key string) (core.Record, error) {
	c.loads[key]++
	return c.TokenBackend.Load(ctx, key)
}

func (c counting) Unwrap() core.TokenBackend { return c.TokenBackend }

func TestADoctorLoadsEachRecordOnce(t *testing.T) {
	b := counting{inMemory(t), make(map[string]int)}
	put(t, b, "ana", cacheOf(t, time.Now(), "ana"))
	put(t, b, "bo", []byte(`{"AccessToken":`)) // and one that can't be read
	trialOf(b).storedRecords(t.Context())
	if want := map[string]int{"ana": 1, "bo": 1}; !maps.Equal(b.loads, want) {
		t.Errorf("the loads are %v, want %v", b.loads, want)
	}
}

func TestADoctorFindsRefreshTokensNearTheirEnd(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	for _, c := range []struct {
		name   string
		tokens []inspected
		want   string
	}{
		{"a young one is fine", []inspected{{Type: "refresh token", CachedOn: ago(time.Hour)}}, ""},
		{"one of 61 days is risky", []inspected{{Type: "refresh token", CachedOn: ago(61 * 24 * time.Hour)}}, warning},
		{"one of 91 days is dead", []inspected{{Type: "refresh token", CachedOn: ago(account.RefreshTokenLifetime + time.Hour)}}, wrong},
		{"a user without one has to sign in", []inspected{{Type: "access token", HomeAccountID: "a", ExpiresOn: ago(time.Minute)}}, wrong},
		{"an application needs none", []inspected{{Type: "access token", ExpiresOn: ago(time.Minute)}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := trialOf(inMemory(t))
			d.now = now
			want(t, d.ages("k", c.tokens), c.want, "")
		})
	}
}

func TestTheFileSystemOfAPathIsThatOfTheNearestMountPoint(t *testing.T) {
	m := mounts{"/": "ext4", "/srv": "nfs4", "/srv/local": "xfs"}
	for path, want := range map[string]string{"/etc/x": "ext4", "/srv/t/x": "nfs4", "/srv/local/x": "xfs"} {
		if got := m.kindOf(path); got != want {
			t.Errorf("%s is on %q, want %q", path, got, want)
		}
	}
	want(t, lookAtFileSystem("/srv/t/x", m), warning, "is on nfs4, whose locks may not hold")
	want(t, lookAtFileSystem("/srv/local/x", m), "", "")
}

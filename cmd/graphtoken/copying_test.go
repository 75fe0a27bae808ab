package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/stores"
)

// cacheOf is a record with tokens of these users, obtained at that time.
func cacheOf(t *testing.T, at time.Time, users ...string) []byte {
	t.Helper()
	c := tokencache.New()
	for _, user := range users {
		err := c.Put(tokencache.TokenResponse{
			AccessToken: "of-" + user, RefreshToken: "again-" + user, Scope: "User.Read", TokenType: "Bearer", ExpiresIn: 3600,
			ClientID: "app", Environment: "login.microsoftonline.com", Tenant: "common", HomeAccountID: user + ".home", Sent: at,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	data, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func newCopying(t *testing.T) *copying {
	t.Helper()
	at := func() place {
		b, err := memory.New(memory.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return place{Place: &stores.Place{Kind: "memory", Backend: b}}
	}
	return &copying{from: at(), to: at()}
}

func put(t *testing.T, b core.TokenBackend, key string, data []byte) {
	t.Helper()
	if _, err := b.Save(t.Context(), key, core.Record{Data: data, Version: core.AnyVersion}); err != nil {
		t.Fatal(err)
	}
}

func TestCopyReplacesARecordOnlyByANewerOneOfTheSameUsers(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name          string
		source, there []byte
		want          string
	}{
		{"nothing is there", cacheOf(t, now, "ana"), nil, didCopy},
		{"the same record is there", cacheOf(t, now, "ana"), cacheOf(t, now, "ana"), didSkip},
		{"an older record is there", cacheOf(t, now, "ana"), cacheOf(t, now.Add(-time.Hour), "ana"), didReplace},
		{"a newer record is there", cacheOf(t, now.Add(-time.Hour), "ana"), cacheOf(t, now, "ana"), didKeep},
		{"an older record with another user is there", cacheOf(t, now, "ana"), cacheOf(t, now.Add(-time.Hour), "ana", "bo"), didRefuse},
		{"a record that can't be read is there", cacheOf(t, now, "ana"), []byte("sealed"), didRefuse},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, dryRun := range []bool{true, false} {
				m := newCopying(t)
				m.dryRun = dryRun
				put(t, m.from.Backend, "k", c.source)
				if c.there != nil {
					put(t, m.to.Backend, "k", c.there)
				}
				got, err := m.record(t.Context(), "k")
				if err != nil || got.Outcome != c.want {
					t.Fatalf("dry run %v: %+v, %v; want %s", dryRun, got, err, c.want)
				}
				want := c.there
				if !dryRun && (c.want == didCopy || c.want == didReplace) {
					want = c.source
				}
				rec, err := m.to.Backend.Load(t.Context(), "k")
				if want == nil && err == nil || want != nil && string(rec.Data) != string(want) {
					t.Errorf("dry run %v: another record is there now: %v", dryRun, err)
				}
			}
		})
	}
}

// racing lets another program save right before a save.
type racing struct {
	core.TokenBackend
	before func()
}

func (r *racing) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if before := r.before; before != nil {
		r.before = nil
		before()
	}
	return r.TokenBackend.Save(ctx, key, rec)
}

func TestCopyDoesNotOverwriteWhatAnotherProgramSavesMeanwhile(t *testing.T) {
	now := time.Now()
	m := newCopying(t)
	newer := cacheOf(t, now, "ana")
	put(t, m.from.Backend, "k", cacheOf(t, now.Add(-time.Hour), "ana"))
	inner := m.to.Backend
	m.to.Backend = &racing{inner, func() { put(t, inner, "k", newer) }}
	if got, err := m.record(t.Context(), "k"); err != nil || got.Outcome != didKeep {
		t.Errorf("%+v, %v", got, err)
	}
	if rec, err := inner.Load(t.Context(), "k"); err != nil || string(rec.Data) != string(newer) {
		t.Errorf("the newer record is gone: %v", err)
	}
}

// forgetful stores something else than it was given.
type forgetful struct{ core.TokenBackend }

func (f forgetful) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	rec.Data = rec.Data[:len(rec.Data)-1]
	return f.TokenBackend.Save(ctx, key, rec)
}

func TestACopyThatReadsBackDifferentlyIsAFailure(t *testing.T) {
	m := newCopying(t)
	put(t, m.from.Backend, "k", cacheOf(t, time.Now(), "ana"))
	m.to.Backend = forgetful{m.to.Backend}
	done, err := m.all(t.Context(), []string{"k"}, func(copied) {})
	if err != nil || len(done) != 1 || done[0].Outcome != didFail || !strings.Contains(done[0].Why, "reads back") {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestACopyThatIsInterruptedGoesOnWhereItWas(t *testing.T) {
	m := newCopying(t)
	var keys []string
	for i := range 50 {
		keys = append(keys, fmt.Sprint("k", i))
		put(t, m.from.Backend, keys[i], cacheOf(t, time.Now(), "ana"))
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, err := m.all(ctx, keys, func(copied) { cancel() })
	if err == nil || len(first) == 0 || len(first) == len(keys) {
		t.Fatalf("the first run copied %d records: %v", len(first), err)
	}
	second, err := m.all(t.Context(), keys, func(copied) {})
	if err != nil || len(second) != len(keys) {
		t.Fatalf("the second run handled %d records: %v", len(second), err)
	}
	skipped := 0
	for _, d := range second {
		switch d.Outcome {
		case didSkip:
			skipped++
		case didCopy:
		default:
			t.Errorf("%+v", d)
		}
	}
	if skipped != len(first) {
		t.Errorf("%d records were equal, and %d had been copied", skipped, len(first))
	}
}

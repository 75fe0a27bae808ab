package main

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
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
				trial := &writing{c.wrap(newCopying(t).to.Backend), true}
				if err := trial.conditions(t.Context()); !errors.Is(err, c.want) {
					t.Errorf("%v, want %v", err, c.want)
				}
			})
		})
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
			d := &checkup{now: now}
			d.ages("k", c.tokens)
			got := ""
			if len(d.findings) > 0 {
				got = d.findings[0].Severity
				if d.findings[0].Advice == "" {
					t.Error("it isn't said what to do")
				}
			}
			if got != c.want {
				t.Errorf("%v, want %q", d.findings, c.want)
			}
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
}

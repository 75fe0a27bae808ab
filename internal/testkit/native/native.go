// Package native checks that a backend uses a record under the name that another
// program gave it, such as python-o365's "ana@contoso.com token.txt".
//
//	native.Check(t, backend, "ana@contoso.com token.txt", native.Place{Put: …, Get: …})
package native

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// TB is what this package needs of a *testing.T.
type TB interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Place is where the other program keeps the record.
type Place struct {
	Put func(data string)                // stores the record as the other program does
	Get func() (data string, found bool) // reads it as the other program does
}

// Check has b load, list, save, lease and delete the record whose key is name, and
// which the other program has stored in p.
func Check(t TB, b core.TokenBackend, name string, p Place) {
	t.Helper()
	ctx := t.Context()
	const theirs, ours = `{"AccessToken": {}, "theirs": 1}`, `{"AccessToken": {}, "ours": 1}`
	p.Put(theirs)
	rec, err := b.Load(ctx, name)
	if err != nil || string(rec.Data) != theirs {
		t.Fatalf("Load of %q = %q, %v", name, string(rec.Data), err)
	}
	wantListed(t, b, name)

	version := rec.Version
	if _, err := b.Save(ctx, name, core.Record{Data: []byte(ours), Version: version}); err != nil {
		t.Fatalf("Save of %q: %v", name, err)
	}
	if data, found := p.Get(); !found || data != ours {
		t.Errorf("the other program finds %q under the name %q, want what was saved", data, name)
	}
	if _, err := b.Save(ctx, name, core.Record{Data: []byte(ours), Version: version}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("Save of %q over a newer version = %v, want ErrConflict", name, err)
	}

	if leaser, ok := b.(core.Leaser); ok {
		lease, err := leaser.Acquire(ctx, name, time.Minute)
		if err != nil {
			t.Fatalf("Acquire of %q: %v", name, err)
		}
		if _, err := leaser.Acquire(ctx, name, time.Minute); !errors.Is(err, core.ErrLeaseHeld) {
			t.Errorf("Acquire of a held lease of %q = %v, want ErrLeaseHeld", name, err)
		}
		wantListed(t, b, name)
		if err := lease.Release(ctx); err != nil {
			t.Errorf("Release of %q: %v", name, err)
		}
	}

	if err := b.Delete(ctx, name); err != nil {
		t.Errorf("Delete of %q: %v", name, err)
	}
	if data, found := p.Get(); found {
		t.Errorf("after Delete the other program finds %q under the name %q", data, name)
	}
}

// wantListed wants the name among the keys, and nothing that holds a lease.
func wantListed(t TB, b core.TokenBackend, name string) {
	t.Helper()
	lister, ok := b.(core.Lister)
	if !ok {
		return
	}
	var keys []string
	for key, err := range lister.Keys(t.Context()) {
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if err != nil {
			t.Fatalf("Keys: %v", err)
		}
		keys = append(keys, key)
	}
	if !slices.Equal(keys, []string{name}) {
		t.Errorf("Keys = %q, want %q alone", keys, name)
	}
}

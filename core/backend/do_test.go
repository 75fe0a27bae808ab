package backend_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

func TestAnOperationThatMustHaveNoEffectDoesntRun(t *testing.T) {
	gone, leave := context.WithCancel(t.Context())
	leave()
	refusing := origin.Op("load", "ana")
	refusing.CheckKey = func(key string) error { return fmt.Errorf("%w: %s is too long here", core.ErrInvalidKey, key) }
	record := func(n int) core.Record { return core.Record{Data: make([]byte, n)} }
	for why, c := range map[string]struct {
		ctx  context.Context
		op   backend.Op
		want error
	}{
		"the key is empty":                       {t.Context(), origin.Op("load", ""), core.ErrInvalidKey},
		"the key is too long":                    {t.Context(), origin.Op("load", strings.Repeat("k", 151)), core.ErrInvalidKey},
		"the store doesn't take the key":         {t.Context(), refusing, core.ErrInvalidKey},
		"the caller is gone":                     {gone, origin.Op("load", "ana"), context.Canceled},
		"the caller is gone, and names no key":   {gone, origin.StoreOp("ping"), context.Canceled},
		"the record has no data":                 {t.Context(), origin.SaveOp("ana", record(0), 0), core.ErrCorrupt},
		"the record is larger than the store":    {t.Context(), origin.SaveOp("ana", record(9), 8), core.ErrTooLarge},
		"the record of an invalid key is stored": {t.Context(), origin.SaveOp("", record(8), 8), core.ErrInvalidKey},
	} {
		err := backend.Do(c.ctx, c.op, func() error {
			t.Errorf("%s, and it runs", why)
			return nil
		})
		named := (*core.Error)(nil)
		if !errors.Is(err, c.want) || !errors.As(err, &named) || named.Backend != "shelf" || named.Op != c.op.Name || named.Key != c.op.Key {
			t.Errorf("%s: %v", why, err)
		}
	}
	for _, op := range []backend.Op{origin.SaveOp("ana", record(8), 8), origin.SaveOp("ana", record(8), 0), origin.StoreOp("keys"), origin.Op("load", "ana")} {
		ran := false
		if err := backend.Do(t.Context(), op, func() error { ran = true; return nil }); err != nil || !ran {
			t.Errorf("%s of %q: %v", op.Name, op.Key, err)
		}
	}
}

func TestAnErrorIsToldAsTheBackendsWithItsClass(t *testing.T) {
	op := origin.Op("load", "ana")
	op.Classify = func(err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %w", core.ErrNotFound, err)
		}
		return err
	}
	err := backend.Do(t.Context(), op, func() error { return fs.ErrNotExist })
	if !errors.Is(err, core.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) || err.Error() != `shelf: load "ana": no record: file does not exist` {
		t.Errorf("absent: %v", err)
	}
	err = backend.Do(t.Context(), op, func() error { return fs.ErrPermission })
	if !errors.Is(err, fs.ErrPermission) || errors.Is(err, core.ErrNotFound) || err.Error() != `shelf: load "ana": permission denied` {
		t.Errorf("unreachable: %v", err)
	}
	inner := &core.Error{Op: "save", Backend: "other", Err: core.ErrConflict}
	if err := backend.Do(t.Context(), op, func() error { return inner }); err != error(inner) {
		t.Errorf("another backend's error became %v", err)
	}
}

// Some clients say that they were interrupted, and not that the caller wanted it.
func TestAnOperationThatTheCallerInterruptedSaysSo(t *testing.T) {
	interrupted := errors.New("statement interrupted")
	for _, c := range []struct {
		err  error
		gone bool
	}{{interrupted, true}, {core.ErrConflict, false}} {
		ctx, leave := context.WithCancel(t.Context())
		err := backend.Do(ctx, origin.Op("save", "ana"), func() error {
			leave()
			return c.err
		})
		if !errors.Is(err, c.err) || errors.Is(err, context.Canceled) != c.gone {
			t.Errorf("%v became %v", c.err, err)
		}
	}
}

func TestAnIncompleteRecordIsNotLoaded(t *testing.T) {
	for what, rec := range map[string]core.Record{
		"no data":    {Version: "1"},
		"no version": {Data: []byte("{}")},
	} {
		got, err := backend.DoValue(t.Context(), origin.Op("load", "ana"), func() (core.Record, error) { return rec, nil })
		if !errors.Is(err, core.ErrCorrupt) || got.Data != nil || got.Version != "" {
			t.Errorf("%s: %v, %v", what, got, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		_, _ = backend.DoValue(t.Context(), origin.Op("load", "ana"), func() (core.Record, error) {
			return core.Record{Version: "1", Data: core.Data("{}")}, nil
		})
	}); n > 4 {
		t.Errorf("an operation allocates %v times", n)
	}
}

func TestKeysEndWithTheLoopOrWithTheError(t *testing.T) {
	down := errors.New("connection refused")
	list := func(yield func(string) bool) error {
		for _, key := range []string{"ana", "bob", "eva"} {
			if !yield(key) {
				return down // which nobody hears
			}
		}
		return down
	}
	var keys []string
	var failed error
	for key, err := range backend.Keys(t.Context(), origin.StoreOp("keys"), list) {
		keys, failed = append(keys, key), err
	}
	if len(keys) != 4 || !errors.Is(failed, down) || failed.Error() != "shelf: keys: connection refused" {
		t.Errorf("%q, %v", keys, failed)
	}
	for key, err := range backend.Keys(t.Context(), origin.StoreOp("keys"), list) {
		if key != "ana" || err != nil {
			t.Errorf("%q, %v", key, err)
		}
		break
	}
}

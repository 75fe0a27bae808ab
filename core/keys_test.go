package core_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

type listing struct {
	core.TokenBackend
	keys []string
}

func (l listing) Keys(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, key := range l.keys {
			if !yield(key, nil) {
				return
			}
		}
	}
}

type wrapping struct{ core.TokenBackend }

func (w wrapping) Unwrap() core.TokenBackend { return w.TokenBackend }

func TestAStoreListsItsRecordsWhereTheBackendCan(t *testing.T) {
	var keys []string
	for key, err := range core.NewStore(wrapping{listing{keys: []string{"a", "b"}}}).Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if !slices.Equal(keys, []string{"a", "b"}) {
		t.Errorf("the keys are %v", keys)
	}
	told := 0
	for key, err := range core.NewStore(wrapping{}).Keys(t.Context()) {
		told++
		if key != "" || !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("a backend that can't list gives %q and %v", key, err)
		}
	}
	if told != 1 {
		t.Errorf("the error was told %d times", told)
	}
}

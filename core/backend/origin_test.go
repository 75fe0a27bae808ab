package backend_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// The error's origin decides the message to the user: the store can't be reached, or the
// provider refuses.
func TestOriginNamesErrorsOfTheStoreAlone(t *testing.T) {
	const origin backend.Origin = "there"
	b := newShelf()
	if _, err := b.Save(t.Context(), "k", core.Record{Data: []byte("stale")}); err != nil {
		t.Fatal(err)
	}

	refused := errors.New("503 from the provider")
	_, err := origin.Coordinate(t.Context(), b, b, "k", core.RefreshRequest{Seen: core.AnyVersion, Refresh: func(context.Context, core.Record) error { return refused }})
	if err != refused {
		t.Errorf("the provider's error became %v", err)
	}

	gone, leave := context.WithCancel(t.Context())
	leave()
	for what, call := range map[string]func() (core.RefreshDecision, error){
		"a key that is none": func() (core.RefreshDecision, error) {
			return origin.Coordinate(t.Context(), b, b, "", core.RefreshRequest{Seen: core.AnyVersion})
		},
		"a caller who is gone": func() (core.RefreshDecision, error) {
			return origin.Coordinate(gone, b, b, "k", core.RefreshRequest{Seen: core.AnyVersion})
		},
	} {
		_, err := call()
		named := (*core.Error)(nil)
		if !errors.As(err, &named) || named.Backend != "there" || named.Op != "refresh" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := b.Acquire(t.Context(), "k", time.Hour); err != nil {
		t.Fatalf("a call that must have no effect took the lease: %v", err)
	}
	hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	_, err = origin.Coordinate(hurried, b, b, "k", core.RefreshRequest{Seen: core.AnyVersion})
	if named := (*core.Error)(nil); !errors.As(err, &named) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller who leaves while waiting: %v", err)
	}
}

func TestRequireRefusesNilClients(t *testing.T) {
	const origin backend.Origin = "there"
	type client struct{}
	for _, given := range []any{nil, (*client)(nil), (core.TokenBackend)(nil)} {
		named := (*core.Error)(nil)
		if err := origin.Require(given); !errors.As(err, &named) || named.Backend != "there" {
			t.Errorf("Require(%T) = %v", given, err)
		}
	}
	for _, given := range []any{&client{}, client{}, newShelf()} {
		if err := origin.Require(given); err != nil {
			t.Errorf("Require(%T) = %v", given, err)
		}
	}
}

func TestTheTextOfAStoresErrorIsFitForATerminal(t *testing.T) {
	cause := errors.New("refused: \x1b]0;owned\a\r\nlevel=info msg=fine\u202e")
	for _, key := range []string{"", "ana\x1b[2J"} {
		err := backend.Origin("there").Fail("load", key, cause)
		if text := err.Error(); strings.ContainsAny(text, "\x1b\a\r\n\u202e") || !strings.Contains(text, "refused: ") {
			t.Errorf("%q", text)
		}
		if !errors.Is(err, cause) {
			t.Error("the cause is lost")
		}
	}
}

package core_test

import (
	"context"
	"errors"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

func TestASharedTokenIsTheSameOneAsLongAsTheTokenIs(t *testing.T) {
	p, b := newIDP(), newBackend()
	s := core.NewStore(b, calm())
	ctx := context.Background()
	if at, err := s.TokenSource("k", ana(), nil).Shared(ctx); at != nil || !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("without a sign-in: %v, %v", at, err)
	}
	p.signIn(t, s, "k", "ana")
	source := s.TokenSource("k", ana(), p.refresh)
	first, err := source.Shared(ctx)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.TokenSource("k", ana(), p.refresh).Shared(ctx)
	if err != nil || again != first {
		t.Errorf("another one, %v", err)
	}
	token, err := source.Refresh(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if next, err := source.Shared(ctx); err != nil || next == first || next.Secret != token.Secret {
		t.Errorf("after a refresh it is the old one, or none: %v", err)
	}
}

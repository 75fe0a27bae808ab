package core_test

import (
	"errors"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

func TestAnUnstoredTokenChangesNoRecord(t *testing.T) {
	p, b := newIDP(), newBackend()
	s := core.NewStore(b)
	p.signIn(t, s, "k", "ana", "bo")
	saves := b.count("save")
	ts := s.TokenSource("k", ana(), p.refresh)

	if got := mustToken(t, ts, core.Unstored()); got != "at-ana-in1" || p.count() != 0 {
		t.Errorf("of a valid token it is %s, after %d refreshes", got, p.count())
	}
	at, err := ts.Refresh(t.Context(), core.Unstored(), core.Claims(`{"a":{}}`))
	if err != nil || at.Secret.Reveal() != "at-ana-1" || p.claims[0] != `{"a":{}}` {
		t.Fatalf("the refresh is %s, for the claims %q: %v", at.Secret.Reveal(), p.claims, err)
	}
	if b.count("save") != saves {
		t.Error("it was saved")
	}
	if err := s.Flush(t.Context()); err != nil || b.count("save") != saves {
		t.Errorf("it was saved in the end: %v", err)
	}
	// Other calls have the token of the record, and know nothing of it.
	if got := mustToken(t, ts); got != "at-ana-in1" {
		t.Errorf("the stored token is %s", got)
	}
	// This provider takes a refresh token once: the stored one is spent, as is said.
	if _, err := ts.Refresh(t.Context(), core.Unstored()); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("the spent refresh token: %v", err)
	}
	if got := mustToken(t, s.TokenSource("k", bo(), p.refresh), core.Unstored()); got != "at-bo-in2" {
		t.Errorf("the other user's is %s", got)
	}
}

func TestAnUnstoredTokenMeetsTheCallsDemands(t *testing.T) {
	for what, row := range map[string]struct {
		opts []core.TokenOption
		want string
	}{
		"none":                   {nil, "at-ana-in1"},
		"that it lives longer":   {[]core.TokenOption{core.MinValidity(2 * time.Hour)}, "at-ana-1"},
		"that it is another one": {[]core.TokenOption{core.Rejected("at-ana-in1")}, "at-ana-1"},
		"that it answers claims": {[]core.TokenOption{core.Claims(`{"a":{}}`)}, "at-ana-1"},
	} {
		p, s := newIDP(), core.NewStore(newBackend())
		p.signIn(t, s, "k", "ana")
		if got := mustToken(t, s.TokenSource("k", ana(), p.refresh), append(row.opts, core.Unstored())...); got != row.want {
			t.Errorf("%s: the token is %s, want %s", what, got, row.want)
		}
	}
	p, s := newIDP(), core.NewStore(newBackend())
	if _, err := s.TokenSource("k", ana(), p.refresh).Token(t.Context(), core.Unstored()); !errors.Is(err, core.ErrReauthRequired) {
		t.Errorf("of nobody: %v", err)
	}
	p.signIn(t, s, "k", "ana", "bo")
	anybody := ana()
	anybody.HomeAccountID = ""
	if _, err := s.TokenSource("k", anybody, p.refresh).Token(t.Context(), core.Unstored()); !errors.Is(err, core.ErrAmbiguous) {
		t.Errorf("of one of two: %v", err)
	}
}

package core_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// counting is a cryptography manager that counts what it decrypts.
type counting struct{ decrypted int }

func (c *counting) Encrypt(_ context.Context, plain, _ []byte) ([]byte, error) { return plain, nil }
func (c *counting) Decrypt(_ context.Context, data, _ []byte) ([]byte, error) {
	c.decrypted++
	return data, nil
}

func TestLoadChangedDecryptsNothingWhileTheVersionIsTheSame(t *testing.T) {
	b, crypto, p := newBackend(), &counting{}, newIDP()
	s := core.NewStore(b, core.WithCryptography(crypto))
	if _, _, err := s.LoadChanged(t.Context(), "k", core.Absent); !errors.Is(err, core.ErrNotFound) {
		t.Fatalf("nothing is stored, and the error is %v", err)
	}
	p.signIn(t, s, "k", "ana")
	c, v, err := s.LoadChanged(t.Context(), "k", core.Absent)
	if err != nil || !c.LongLived(ana()) {
		t.Fatal(c, err)
	}
	crypto.decrypted = 0
	if c, again, err := s.LoadChanged(t.Context(), "k", v); c != nil || again != v || err != nil || crypto.decrypted != 0 {
		t.Fatalf("unchanged: %v, version %q, %v, decrypted %d times", c, again, err, crypto.decrypted)
	}
	p.signIn(t, s, "k", "bo")
	if c, again, err := s.LoadChanged(t.Context(), "k", v); err != nil || again == v || !c.LongLived(bo()) {
		t.Fatalf("changed: %v, version %q, %v", c, again, err)
	}
}

func TestLoadChangedTellsOfTokensThatCouldNotBeSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newBackend(), newIDP()
		s := core.NewStore(b)
		p.signIn(t, s, "k", "ana")
		_, v, err := s.Load(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		signInUnsaved(t, p, b, s, "bo")
		if c, again, err := s.LoadChanged(t.Context(), "k", v); err != nil || again == v || !c.LongLived(bo()) {
			t.Fatalf("%v, version %q, %v", c, again, err)
		}
	})
}

// mine is the record as it is, and as a client has it that has refreshed a user.
func refreshedByClient(t *testing.T, p *idp, s *core.Store, user string) (base, mine *tokencache.Cache) {
	t.Helper()
	base, _, err := s.Load(context.Background(), "k")
	if err != nil {
		t.Fatal(err)
	}
	mine = base.Clone()
	p.mu.Lock()
	r := p.response(user)
	p.mu.Unlock()
	if err := mine.Put(r); err != nil {
		t.Fatal(err)
	}
	return base, mine
}

func TestMergeKeepsWhatOthersStoredMeanwhile(t *testing.T) {
	b, p := newBackend(), newIDP()
	s := core.NewStore(b)
	p.signIn(t, s, "k", "ana")
	base, mine := refreshedByClient(t, p, s, "ana")
	other := core.NewStore(handle(b.store))
	p.signIn(t, other, "k", "bo")
	b.beforeSave = func() { p.signIn(t, other, "k", "eve") } // a conflict
	merged, err := s.Merge(t.Context(), "k", base, mine)
	if err != nil {
		t.Fatal(err)
	}
	stored, _, err := other.Load(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*tokencache.Cache{merged, stored} {
		rt, _ := c.RefreshToken(ana())
		if rt.Secret.Reveal() != p.current["ana"] || len(c.Accounts()) != 3 {
			t.Errorf("ana has %v, and %d are signed in", rt.Secret.Reveal(), len(c.Accounts()))
		}
	}
}

func TestMergeOfNothingNewSavesNothing(t *testing.T) {
	b, p := newBackend(), newIDP()
	s := core.NewStore(b)
	p.signIn(t, s, "k", "ana")
	base, _, err := s.Load(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	saves := b.count("save")
	if _, err := s.Merge(t.Context(), "k", base, base.Clone()); err != nil || b.count("save") != saves {
		t.Fatalf("%v, saved %d times", err, b.count("save")-saves)
	}
	if _, err := s.Merge(t.Context(), "k", nil, tokencache.New()); err != nil || b.count("save") != saves {
		t.Fatalf("an empty cache: %v, saved %d times", err, b.count("save")-saves)
	}
}

func TestMergeKeepsItsTokensThroughAnOutage(t *testing.T) {
	for name, operation := range map[string]string{"saves fail": "save", "nothing can be read": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, p := newBackend(), newIDP()
				s := core.NewStore(b)
				p.signIn(t, s, "k", "ana", "bo")
				base, mine := refreshedByClient(t, p, s, "ana")
				b.fail(operation, errOutage)
				if _, err := s.Merge(t.Context(), "k", base, mine); !errors.Is(err, core.ErrRefreshedNotSaved) {
					t.Fatal(err)
				}
				b.fail(operation, nil)
				if err := s.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				c, _, err := core.NewStore(b).Load(t.Context(), "k")
				if err != nil {
					t.Fatal(err)
				}
				if rt, _ := c.RefreshToken(ana()); rt.Secret.Reveal() != p.current["ana"] || !c.LongLived(bo()) {
					t.Fatalf("stored is %v", rt.Secret.Reveal())
				}
			})
		})
	}
}

func TestWritesCountsWhateverMayHaveChangedARecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newBackend(), newIDP()
		s := core.NewStore(b)
		for _, step := range []struct {
			name string
			do   func()
		}{
			{"a save", func() { p.signIn(t, s, "k", "ana") }},
			{"tokens that could not be saved", func() { signInUnsaved(t, p, b, s, "bo") }},
			{"a deletion", func() {
				if err := s.Delete(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
			}},
		} {
			before := core.Writes()
			if step.do(); core.Writes() == before {
				t.Errorf("%s is not counted", step.name)
			}
		}
	})
}

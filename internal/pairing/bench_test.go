package pairing

import (
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/adapters/azcore"
	"github.com/graphtoken/graphtoken/adapters/oauth2"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/sidebyside"
	xoauth2 "golang.org/x/oauth2"
)

// calls are made in one turn, so that the clock is read seldom enough: what is reported as
// µs is the time of one call in ns.
const calls = 1000

func many(call func() error) func(int) error {
	return func(int) error {
		for range calls {
			if err := call(); err != nil {
				return err
			}
		}
		return nil
	}
}

// A token is valid, and in memory: ours beside azidentity's.
func BenchmarkGetToken(b *testing.B) {
	idp := entra.Start(b, entra.Options{})
	theirs := secretCredential(b, idp, entra.ConfidentialSecret)
	ours := stored(newStore(b), azcore.Refresh(theirs), azcore.Options{})
	o := forGraph()
	sidebyside.Run(b,
		many(func() error { _, err := ours.GetToken(b.Context(), o); return err }),
		many(func() error { _, err := theirs.GetToken(b.Context(), o); return err }))
}

// A token is valid, and in memory: ours beside the core.TokenSource that it is made of,
// and beside golang.org/x/oauth2's own.
func BenchmarkTokenSource(b *testing.B) {
	store := newStore(b)
	cfg := &xoauth2.Config{ClientID: "client", Endpoint: xoauth2.Endpoint{TokenURL: "https://idp.example.com/token"}}
	client, err := oauth2.New(store, "key", cfg)
	if err != nil {
		b.Fatal(err)
	}
	token := &xoauth2.Token{AccessToken: "token", RefreshToken: "refresh", Expiry: time.Now().Add(time.Hour)}
	if err := client.Put(b.Context(), token); err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	ours, below, theirs := client.TokenSource(ctx), store.TokenSource("key", client.Query(), client.Refresh), cfg.TokenSource(ctx, token)
	sidebyside.Run(b,
		many(func() error { _, err := ours.Token(); return err }),
		many(func() error { _, err := below.Token(ctx); return err }),
		sidebyside.Way{Name: "x/oauth2", Do: many(func() error { _, err := theirs.Token(); return err })})
}

// Neither takes an allocation: a test says so, since a figure in a table would not.
func TestAValidTokenTakesNoAllocation(t *testing.T) {
	store := newStore(t)
	cfg := &xoauth2.Config{ClientID: "client", Endpoint: xoauth2.Endpoint{TokenURL: "https://idp.example.com/token"}}
	client, err := oauth2.New(store, "key", cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Put(t.Context(), &xoauth2.Token{AccessToken: "token", Expiry: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	idp := entra.Start(t, entra.Options{})
	credential := stored(newStore(t), azcore.Refresh(secretCredential(t, idp, entra.ConfidentialSecret)), azcore.Options{})
	source, ctx, o := client.TokenSource(t.Context()), t.Context(), forGraph()
	for name, call := range map[string]func() error{
		"adapters/oauth2": func() error { _, err := source.Token(); return err },
		"adapters/azcore": func() error { _, err := credential.GetToken(ctx, o); return err },
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := call(); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

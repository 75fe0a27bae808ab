package account_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestTheOverlayIsABackend(t *testing.T) {
	conformance.Run(t, conformance.Harness{
		New: func(conformance.T) conformance.Env {
			return overlaid{account.NewOverlay(core.NewStore(newBackend(t)))}
		},
		Want: conformance.Capabilities{CAS: conformance.CASEnforced, List: true},
	})
}

type overlaid struct{ core.TokenBackend }

func (o overlaid) Open(conformance.T) core.TokenBackend { return o.TokenBackend }

func TestAnOverlayShowsWhatIsBelowAndChangesNothingThere(t *testing.T) {
	b := newBackend(t)
	below := core.NewStore(b)
	put := func(store *core.Store, key, secret string) {
		t.Helper()
		if _, err := store.Put(t.Context(), key, tokencache.TokenResponse{AccessToken: secret, ClientID: "app", HomeAccountID: "uid.utid", Scope: "User.Read"}); err != nil {
			t.Fatal(err)
		}
	}
	token := func(store *core.Store, key string) string {
		t.Helper()
		c, _, err := store.Load(t.Context(), key)
		if errors.Is(err, core.ErrNotFound) {
			return ""
		}
		if err != nil {
			t.Fatal(err)
		}
		at, _ := c.AccessToken(tokencache.Query{})
		return at.Secret.Reveal()
	}
	put(below, "a", "a's")
	put(below, "b", "b's")
	above := core.NewStore(account.NewOverlay(below))
	if got := token(above, "a"); got != "a's" {
		t.Errorf("the record below is %q", got)
	}
	put(below, "a", "a's next") // another process refreshes
	if got := token(above, "a"); got != "a's next" {
		t.Errorf("the record below, changed, is %q", got)
	}
	put(above, "a", "mine")
	put(above, "c", "c's")
	if err := above.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	put(below, "a", "a's last")
	for key, want := range map[string][2]string{"a": {"mine", "a's last"}, "b": {"", "b's"}, "c": {"c's", ""}} {
		if got := [2]string{token(above, key), token(below, key)}; got != want {
			t.Errorf("%s is %q above and below, want %q", key, got, want)
		}
	}
	var keys []string
	for key, err := range above.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key)
	}
	if slices.Sort(keys); !slices.Equal(keys, []string{"a", "c"}) {
		t.Errorf("the keys are %q", keys)
	}
}

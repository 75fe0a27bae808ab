package main_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// forget makes the record one that another program wrote.
func (w *world) forget() {
	w.t.Helper()
	data, err := os.ReadFile(w.file())
	if err != nil {
		w.t.Fatal(err)
	}
	without := regexp.MustCompile(`,?\s*"graphtoken_(?:scopes|authority)_[^"]*":\s*"[^"]*"`).ReplaceAll(data, nil)
	if len(without) == len(data) {
		w.t.Fatal("the login's scopes aren't in the record")
	}
	w.holdData(bytes.Replace(without, []byte("{,"), []byte("{"), 1))
}

func TestATokenForAnotherScopeDoesNotBecomeTheDefault(t *testing.T) {
	for name, signIn := range map[string]func(*world){
		"after a login with scopes": func(w *world) { w.login(ana) },
		"in a record of another program": func(w *world) {
			w.login(ana)
			w.forget()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			signIn(w)
			first := w.ok("token")
			other := w.ok("token", "--scope", "Calendars.Read")
			if other == first {
				t.Fatal("the scope has no effect")
			}
			if again := w.ok("token"); again != first {
				t.Error("the plain token is another now")
			}
			w.expire(tokencache.Query{Username: ana, Scopes: []string{"Mail.Read"}})
			w.ok("token")
			w.ok("refresh", "--scope", "Calendars.Read")
			if report := w.ok("token", "--format", "json"); !strings.Contains(report, "Mail.Read") {
				t.Error("a refreshed plain token lacks the login's scopes")
			}
			w.login(bo, "--scope", "Calendars.Read")
			if got := w.ok("token", "--user", bo, "--format", "json"); !strings.Contains(got, "Calendars.Read") {
				t.Error("the scopes of a login aren't the default")
			}
			w.ok("logout", "--user", ana)
			w.ok("logout", "--user", bo, "--client-id", entra.PublicClient)
			w.fails(3, "status")
		})
	}
}

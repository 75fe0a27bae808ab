package main_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// sameAsToken compares what status and list say with the token that token prints.
func (w *world) sameAsToken() {
	w.t.Helper()
	var token struct{ Scopes []string }
	var status, listed struct {
		Accounts []struct{ Scopes []string }
		Records  []struct {
			Accounts []struct{ Scopes []string }
		}
	}
	for _, parsed := range []struct {
		args []string
		into any
	}{{[]string{"status", "--json"}, &status}, {[]string{"list", "--json"}, &listed}, {[]string{"token", "--format", "json"}, &token}} {
		if err := json.Unmarshal([]byte(w.ok(parsed.args...)), parsed.into); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, got := range []string{strings.Join(status.Accounts[0].Scopes, " "), strings.Join(listed.Records[0].Accounts[0].Scopes, " ")} {
		if want := strings.Join(token.Scopes, " "); want == "" || got != want {
			w.t.Errorf("status or list shows the scopes %q, and token prints a token for %q", got, want)
		}
	}
}

func TestStatusShowsTheTokenThatTokenPrints(t *testing.T) {
	t.Run("for a user", func(t *testing.T) {
		w := newWorld(t)
		w.login(ana)
		w.ok("token", "--scope", "Calendars.Read")
		w.sameAsToken()
		w.expire(tokencache.Query{Username: ana, Scopes: []string{"Mail.Read"}})
		w.ok("token", "--scope", "Calendars.Read")
		if shown := w.ok("status"); !strings.Contains(shown, "expired") || strings.Contains(shown, "Calendars") {
			t.Errorf("the login's token has expired, and status shows another:\n%s", shown)
		}
	})
	t.Run("for an application", func(t *testing.T) {
		w := newWorld(t)
		w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient, "GRAPHTOKEN_CLIENT_SECRET="+entra.ConfidentialSecret)
		w.ok("login", "--client-credentials")
		w.ok("token", "--scope", "https://vault.azure.net/.default")
		w.sameAsToken()
	})
}

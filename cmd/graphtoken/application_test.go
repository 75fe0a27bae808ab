package main_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestAStoredTokenOfAnApplicationIsHandedOutWithoutItsSecret(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient, "GRAPHTOKEN_CLIENT_SECRET="+entra.ConfidentialSecret)
	w.ok("login", "--client-credentials")
	token := w.ok("token")
	w.set("GRAPHTOKEN_CLIENT_SECRET=")
	asked := w.idp.Grants().Total.Received
	for _, args := range [][]string{{"token"}, {"token", "--client-credentials"}, {"token", "--format", "text"}} {
		if got := w.ok(args...); got != token {
			t.Errorf("%v prints another token", args)
		}
	}
	if runtime.GOOS != "windows" {
		if got := w.ok("exec", "--", "sh", "-c", `test "$GRAPHTOKEN_ACCESS_TOKEN" = "`+token+`" && echo equal`); got != "equal" {
			t.Errorf("exec: the program has another token: %q", got)
		}
	}
	if status := w.ok("status"); !strings.Contains(status, "with its secret") {
		t.Errorf("the status is\n%s", status)
	}
	if w.idp.Grants().Total.Received != asked {
		t.Error("the provider was asked")
	}
	// A new token needs the secret.
	for _, args := range [][]string{{"refresh"}, {"login", "--client-credentials"}} {
		wantNoSecret(t, w, args...)
	}
	w.expire(tokencache.Query{App: true})
	for _, args := range [][]string{{"token"}, {"exec", "--", "true"}, {"agent", "start"}, {"refresh"}} {
		wantNoSecret(t, w, args...)
	}
	if w.idp.Grants().Total.Received != asked {
		t.Error("the provider was asked without a secret")
	}
}

func wantNoSecret(t *testing.T, w *world, args ...string) {
	t.Helper()
	r := w.fails(2, args...)
	shows(t, fmt.Sprint(args), r.err, "the application's secret is missing", "GRAPHTOKEN_CLIENT_SECRET", "--certificate")
	if args[0] != "login" && !strings.Contains(r.err, entra.ConfidentialClient) {
		t.Errorf("%v doesn't name the application: %s", args, r.err)
	}
}

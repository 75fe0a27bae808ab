package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// recordOf is a record of one user of Microsoft's public cloud.
func recordOf(t *testing.T, username string) *tokencache.Cache {
	t.Helper()
	c := tokencache.New()
	err := c.Put(tokencache.TokenResponse{
		AccessToken: "a", RefreshToken: "r", ClientID: "app", Environment: publicCloud, Tenant: "common",
		HomeAccountID: "id.tenant", Username: username, ExpiresIn: 3600,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The texts of errors contain names that users and providers chose.
func TestTheAdviceFollowsTheKindOfAnErrorAndNotItsText(t *testing.T) {
	const ana, texts = "ana@contoso.com", "signed in: --authority"
	for _, c := range []struct {
		name string
		err  error
		want string // how the advice begins; "-": there is none
	}{
		{"another user is signed in", nobody(recordOf(t, ana), tokencache.Query{Username: "bo@contoso.com"}), "Name one of these"},
		{"the user is signed in at another provider", nobody(recordOf(t, ana), tokencache.Query{Username: ana, Environment: "login.chinacloudapi.cn"}), "-"},
		{"nobody is signed in, and the user's name has these texts", nobody(tokencache.New(), tokencache.Query{Username: texts}), "Sign in with: graphtoken login --client-id ID"},
		{"a record is absent, and its key has these texts", &core.Error{Op: "load", Backend: "memory", Key: texts, Err: core.ErrNotFound}, "Sign in with: graphtoken login --client-id ID"},
		{"the user has no token any more", nobody(recordOf(t, ana), tokencache.Query{Username: ana}), "Sign in with: graphtoken login"},
		{"a store that is out of reach tells these texts", &core.Error{Op: "load", Backend: "redis", Key: "k", Err: errors.New(texts)}, "Check the address"},
		{"several users fit", &ambiguousError{choices: []string{ana, texts}, flags: []string{"--user"}}, "Choose with --user; "},
		{"an import can't be read", &sourceError{fmt.Errorf("%w: %s", core.ErrNotFound, texts)}, "Nothing was saved. graphtoken import --help"},
	} {
		advice := adviceOn(fmt.Errorf("in between: %w", c.err), &session{})
		if !strings.HasPrefix(advice, c.want) && (c.want != "-" || advice != "") {
			t.Errorf("%s: %v: %q; want %q", c.name, c.err, advice, c.want)
		}
	}
}

func TestNoAdviceHasAGap(t *testing.T) {
	for _, row := range advices {
		advice := adviceOn(&placeError{"redis://host/0", "redis://host/0#ana", row.about}, &session{})
		if strings.ContainsAny(advice, "{}") || (advice == "") != (row.advice == "") {
			t.Errorf("%v: %q", row.about, advice)
		}
	}
}

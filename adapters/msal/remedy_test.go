package msal_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// refusals are Entra's answers, as far as they are known. A row's source shows the whole
// answer ("answer"), or its description with at most the error code ("text"), or names the
// code and what it means ("code"). The rest is written as Entra writes it
// elsewhere. IDs, names and times are replaced everywhere.
func refusals(t *testing.T) []refusal {
	t.Helper()
	data, err := os.ReadFile("testdata/refusals.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []refusal
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	for _, row := range all {
		if told := row.Told; row.Source == "" || told != "answer" && told != "text" && told != "code" {
			t.Errorf("%s: the source %q, which told %q", row.What, row.Source, told)
		}
	}
	return all
}

type refusal struct {
	What, Source, Told, Want string
	Status                   int
	Answer                   json.RawMessage
}

func TestARefusalSaysWhatToDo(t *testing.T) {
	for _, row := range refusals(t) {
		t.Run(row.What, func(t *testing.T) {
			idp := start(t, entra.Options{})
			w, cache := newWire(idp), tokencache.New()
			c := public(t, w, common)
			signIn(t, idp, c, cache, ana)
			idp.Inject(entra.Refresh, entra.Fault{Status: row.Status, Body: string(row.Answer)})
			err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
			var refused *msal.Error
			if !errors.As(err, &refused) {
				t.Fatalf("the error is %v", err)
			}
			if !strings.Contains(refused.Remedy(), row.Want) || !strings.Contains(err.Error(), "What to do: "+refused.Remedy()) || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error is %v; want it to say %q", err, row.Want)
			}
		})
	}
}

// At the sign-in page, a refusal comes in the redirect, and may have no number.
func TestARefusalByRedirectSaysWhatToDo(t *testing.T) {
	for text, want := range map[string]string{
		"error=access_denied&error_description=AADSTS65004%3a+User+declined+to+consent+to+access+the+app.":                                         "declined",
		"error=access_denied&error_subcode=cancel":                                                                                                 "declined",
		"error=access_denied&error_description=AADSTS90094%3a+An+administrator+of+Contoso+has+set+a+policy+that+prevents+you+from+granting+access": "Grant admin consent",
		"error=consent_required&error_description=AADSTS65001%3a+The+user+or+administrator+has+not+consented":                                      "must agree",
		"error=login_required&error_description=AADSTS50058%3a+A+silent+sign-in+request+was+sent+but+no+user+is+signed+in.":                        "sign in again",
	} {
		q, err := url.ParseQuery(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := msal.Refusal(q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The user is signed in, and the provider gave no refresh token.
func TestAMissingRefreshTokenIsTold(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	w.onTokens(func(resp *http.Response) error {
		return editJSON(resp, func(m map[string]any) { delete(m, "refresh_token") })
	})
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
	if !errors.Is(err, core.ErrReauthRequired) || !strings.Contains(err.Error(), "offline_access") {
		t.Errorf("the error is %v, want one that names offline_access", err)
	}
	err = c.Refresh(t.Context(), tokencache.New(), core.Refresh{Query: query(ana)})
	if !errors.Is(err, core.ErrReauthRequired) || strings.Contains(err.Error(), "offline_access") {
		t.Errorf("of a user who hasn't signed in: %v", err)
	}
}

package msal_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestARefusalSaysWhomItConcerns(t *testing.T) {
	for what, row := range map[string]struct {
		status int
		answer map[string]any
		want   core.FailureScope
	}{
		"an expired refresh token":         {400, map[string]any{"error": "invalid_grant", "error_description": "AADSTS700082: expired", "error_codes": []int{700082}}, core.FailureOfUser},
		"a refresh token of no use":        {400, map[string]any{"error": "invalid_grant"}, core.FailureOfUser},
		"a changed password":               {400, map[string]any{"error": "invalid_grant", "error_codes": []int{50173}, "suberror": "bad_token"}, core.FailureOfUser},
		"consent that is missing":          {400, map[string]any{"error": "invalid_grant", "suberror": "consent_required", "error_codes": []int{65001}}, core.FailureOfRequest},
		"consent, by the number alone":     {400, map[string]any{"error": "invalid_grant", "error_description": "AADSTS65001: The user has not consented"}, core.FailureOfRequest},
		"a number that came as a text":     {400, map[string]any{"error": "invalid_grant", "error_codes": []string{"65001"}}, core.FailureOfRequest},
		"a second factor for the resource": {400, map[string]any{"error": "invalid_grant", "suberror": "basic_action", "error_codes": []int{50076}}, core.FailureOfRequest},
		"claims to sign in with":           {400, map[string]any{"error": "invalid_grant", "claims": `{"access_token":{}}`}, core.FailureOfRequest},
		"interaction":                      {400, map[string]any{"error": "interaction_required"}, core.FailureOfRequest},
		"consent, as an error of its own":  {400, map[string]any{"error": "consent_required"}, core.FailureOfRequest},
		"a scope that there isn't":         {400, map[string]any{"error": "invalid_scope"}, core.FailureOfRequest},
		"a resource that there isn't":      {400, map[string]any{"error": "invalid_resource"}, core.FailureOfRequest},
		"a malformed request":              {400, map[string]any{"error": "invalid_request"}, core.FailureOfRequest},
		"a grant it doesn't know":          {400, map[string]any{"error": "unsupported_grant_type"}, core.FailureOfRequest},
		"a wrong client secret":            {401, map[string]any{"error": "invalid_client"}, core.FailureOfProvider},
		"a client that may not":            {400, map[string]any{"error": "unauthorized_client"}, core.FailureOfProvider},
		"too many requests":                {429, map[string]any{"error": "invalid_request"}, core.FailureOfProvider},
		"a server that is overloaded":      {400, map[string]any{"error": "temporarily_unavailable"}, core.FailureOfProvider},
		"a gateway":                        {502, map[string]any{}, core.FailureOfProvider},
		"a page where tokens should be":    {200, map[string]any{"hello": "world"}, core.FailureOfProvider},
	} {
		t.Run(what, func(t *testing.T) {
			c := atExample(t, func(*http.Request) (int, any) { return row.status, row.answer })
			err := c.Refresh(t.Context(), signedIn(t), core.Refresh{Query: tokencache.Query{Scopes: []string{"User.Read"}}})
			mustConcern(t, err, row.want)
		})
	}
}

// signedIn is the record of a user of idp.example.com.
func signedIn(t *testing.T) *tokencache.Cache {
	t.Helper()
	cache := tokencache.New()
	if err := cache.Put(tokencache.TokenResponse{
		AccessToken: "stale", RefreshToken: "rt", Scope: "User.Read", ExpiresIn: 3600, ClientID: "app", Environment: "idp.example.com", Tenant: "t", HomeAccountID: "uid.utid",
	}); err != nil {
		t.Fatal(err)
	}
	return cache
}

func TestTheProviderSaysHowLongToLeaveItAlone(t *testing.T) {
	idp := start(t, entra.Options{})
	w, cache := newWire(idp), tokencache.New()
	c := public(t, w, common)
	signIn(t, idp, c, cache, ana)
	in := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for what, row := range map[string]struct {
		status   int
		header   string
		from, to time.Duration
	}{
		"seconds, with 429":          {429, "120", 2 * time.Minute, 2 * time.Minute},
		"seconds, with 503":          {503, " 120 ", 2 * time.Minute, 2 * time.Minute},
		"a date, with 429":           {429, in(2 * time.Minute), time.Minute, 2*time.Minute + 2*time.Second},
		"a date, with 503":           {503, in(2 * time.Minute), time.Minute, 2*time.Minute + 2*time.Second},
		"a date that has passed":     {503, in(-time.Hour), 0, 0},
		"a year":                     {429, "31536000", time.Hour, time.Hour},
		"more than can be counted":   {429, "9223372036854775807", time.Hour, time.Hour},
		"more digits than a number":  {429, "99999999999999999999999", time.Hour, time.Hour},
		"less than nothing":          {429, "-5", 0, 0},
		"a word":                     {429, "later", 0, 0},
		"nothing":                    {503, "", 0, 0},
		"another status has no such": {400, "120", 0, 0},
	} {
		t.Run(what, func(t *testing.T) {
			fault := entra.Fault{Status: row.status}
			if row.header != "" {
				fault.Header = http.Header{"Retry-After": {row.header}}
			}
			idp.Inject(entra.Refresh, fault)
			err := c.Refresh(t.Context(), cache, core.Refresh{Query: query(ana)})
			var told interface{ RetryAfter() time.Duration }
			if !errors.As(err, &told) {
				t.Fatalf("the error is %v", err)
			}
			if got := told.RetryAfter(); got < row.from || got > row.to {
				t.Errorf("the provider wants to be left alone for %v, want %v to %v", got, row.from, row.to)
			}
		})
	}
}

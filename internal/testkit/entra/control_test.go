package entra_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func (c raw) post(path, body string) int {
	c.t.Helper()
	resp, err := c.idp.HTTPClient().Post(c.idp.URL()+"/testkit/"+path, "application/json", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

func TestAnotherProcessReadsAndSteersTheServer(t *testing.T) {
	app := start(t, entra.Options{})
	order := func(path, body string) {
		t.Helper()
		if status := app.post(path, body); status != http.StatusOK {
			t.Errorf("POST %s %s: %d", path, body, status)
		}
	}
	order("users", `{"username":"bo@contoso.com"}`)
	if _, ok := app.idp.User("bo@contoso.com"); !ok {
		t.Error("bo was not added")
	}
	order("settings", `{"strict":true,"lifetime":"2s","refresh_in":1,"reuse_grace":"0s"}`)
	first := app.signIn()
	wantEqual(t, "expires_in", first.fields["expires_in"], 2.0)
	wantEqual(t, "refresh_in", first.fields["refresh_in"], 1.0)
	order("faults", `{"grant":"refresh_token","times":2,"status":503}`)
	for range 2 {
		if r := app.refresh(first.Refresh); r.Status != http.StatusServiceUnavailable {
			t.Errorf("got %d", r.Status)
		}
	}
	order("hold", `{"grant":"refresh_token"}`)
	held := make(chan response, 1)
	go func() {
		r, err := app.try("common", form("client_id", entra.PublicClient, "grant_type", entra.Refresh, "refresh_token", first.Refresh))
		if err != nil {
			t.Error(err)
		}
		held <- r
	}()
	if err := app.idp.Wait(within(t), func(g entra.Grants) bool { return g.ByType[entra.Refresh].Received == 3 }); err != nil {
		t.Fatal(err)
	}
	order("release", ``)
	next := (<-held).must(t)
	order("demand", `{"claims":"{\"access_token\":{\"nbf\":{\"essential\":true}}}"}`)
	if status := me(t, app.idp.HTTPClient(), next.Access); status != http.StatusUnauthorized {
		t.Errorf("Graph answered %d to a token without the claims", status)
	}
	order("demand", `{}`)
	order("revoke", `{"user":"ana@contoso.com"}`)
	app.refresh(next.Refresh).refused(t, "invalid_grant", 50173)

	resp, err := app.idp.HTTPClient().Get(app.idp.URL() + "/testkit/grants")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var g entra.Grants
	if err := json.NewDecoder(resp.Body).Decode(&g); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "refreshes that succeeded", g.RefreshesSucceeded, 1)
	wantEqual(t, "revoked families", g.FamiliesRevoked, 1)
	wantEqual(t, "requests with a fault", g.ByType[entra.Refresh].Faulted, 2)
	wantEqual(t, "entries in the log", len(g.Log), 5)
	order("reset", ``)
	if g := app.idp.Grants(); g.Total != (entra.Counts{}) {
		t.Errorf("after a reset %+v", g.Total)
	}

	for path, body := range map[string]string{
		"faults": `{"status":42}`, "settings": `{"lifetime":"soon"}`, "users": `{"username":"x"}`,
		"hold": `{"gramt":"refresh_token"}`, "demand": `{"claims":"no json"}`, "device": `{"user_code":"x"}`,
	} {
		if status := app.post(path, body); status != http.StatusBadRequest {
			t.Errorf("POST %s %s: %d, want 400", path, body, status)
		}
	}
}

package tokencache_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// entries is the document as its other readers see it.
func entries(t *testing.T, c *tokencache.Cache, section string) map[string]map[string]any {
	t.Helper()
	data, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]map[string]map[string]any
	if err := json.Unmarshal(data, &document); err != nil {
		t.Fatal(err)
	}
	return document[section]
}

func TestARefreshKeepsMembersThatItDoesNotKnow(t *testing.T) {
	c := parse(t, `{
		"RefreshToken": {"u.t-login.microsoftonline.com-refreshtoken-app--user.read": {"credential_type": "RefreshToken", "secret": "old",
			"home_account_id": "u.t", "environment": "login.microsoftonline.com", "client_id": "app", "target": "User.Read",
			"last_modification_time": "1", "theirs": {"a": [1, null]}, "nothing": null}},
		"AccessToken": {"u.t-login.microsoftonline.com-accesstoken-app-common-user.read": {"credential_type": "AccessToken", "secret": "old",
			"home_account_id": "u.t", "environment": "login.microsoftonline.com", "client_id": "app", "realm": "common", "target": "User.Read",
			"cached_at": "1", "expires_on": "2", "refresh_on": "1", "extended_expires_on": "2", "theirs": "kept"}}}`)
	put(t, c, tokencache.TokenResponse{AccessToken: "new", RefreshToken: "new", ExpiresIn: 60, Scope: "User.Read",
		ClientID: "app", Tenant: "common", HomeAccountID: "u.t", Sent: time.Unix(1000, 0)})
	for _, e := range entries(t, c, "RefreshToken") {
		if nothing, there := e["nothing"]; e["secret"] != "new" || e["theirs"] == nil || !there || nothing != nil {
			t.Errorf("the refresh token is %v", e)
		}
	}
	for _, e := range entries(t, c, "AccessToken") {
		if _, stale := e["refresh_on"]; e["secret"] != "new" || e["theirs"] != "kept" || stale {
			t.Errorf("the access token is %v", e)
		}
	}
}

func TestATokenThatNoDocumentCanHoldIsRefused(t *testing.T) {
	c := tokencache.New()
	err := c.Put(tokencache.TokenResponse{AccessToken: "a\xff", ExpiresIn: 60, ClientID: "app", HomeAccountID: "u.t"})
	if err == nil || len(c.Accounts()) != 0 {
		t.Errorf("the error is %v, the accounts are %v", err, c.Accounts())
	}
}

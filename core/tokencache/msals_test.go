package tokencache_test

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The records below testdata/msals are what MSAL Go, Python, Node and Java wrote;
// internal/interop/libraries_test.go says how. Ana signed in with the public
// client. The entries of bo, and the section Unknown, were there before; bo's
// tokens of the other client were obtained on behalf of bo.
const (
	msalsTenant = "5f0f2d5e-7a3c-4c0e-9b6a-0c0ffee00001"
	msalsPublic = "0b1c2d3e-0000-4000-8000-00000000c11e"
	msalsOther  = "0b1c2d3e-0000-4000-8000-00000000daee"
)

// msals are the records by the name of the library.
func msals(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "msals", "*.json"))
	if err != nil || len(files) != 4 {
		t.Fatalf("there are the records %q, %v", files, err)
	}
	records := map[string]string{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		records[strings.TrimSuffix(filepath.Base(file), ".json")] = string(data)
	}
	return records
}

// isBound reports an entry whose token is good for more than its scopes say, or
// for somebody else: of MSAL for Java, and of MSAL Node.
func isBound(e map[string]any) bool {
	for _, member := range []string{"ext_cache_key_hash", "additionalCacheKeyComponents", "user_assertion_hash", "userAssertionHash"} {
		if e[member] != nil && e[member] != "" {
			return true
		}
	}
	return false
}

func TestTokensThatAnotherMSALWroteAreFound(t *testing.T) {
	for library, record := range msals(t) {
		t.Run(library, func(t *testing.T) {
			c := parse(t, record)
			q := tokencache.Query{Username: "ana@contoso.com", ClientID: msalsPublic, Scopes: []string{"User.Read", "Mail.ReadWrite"}}
			account, ok := c.Account(q)
			if !ok || account.LocalAccountID == "" {
				t.Errorf("the account is %+v", account)
			}
			if at, ok := c.AccessToken(q); !ok || at.HomeAccountID != account.HomeAccountID || at.ExpiresOn.IsZero() {
				t.Errorf("the access token is %+v", at)
			}
			if rt, ok := c.RefreshToken(q); !ok || rt.Secret != "rt-1" {
				t.Errorf("the refresh token is %+v", rt)
			}
			if id, ok := c.IDToken(q); !ok || id.HomeAccountID != account.HomeAccountID {
				t.Errorf("the id token is %+v", id)
			}
		})
	}
}

func TestNoBoundTokenOfAnotherMSALAnswersAQuery(t *testing.T) {
	bound := 0
	for library, record := range msals(t) {
		t.Run(library, func(t *testing.T) {
			c := parse(t, record)
			for section, entries := range read(t, record) {
				for key, e := range entries {
					if section != "AccessToken" || !isBound(e) {
						continue
					}
					bound++
					for _, client := range []string{"", msalsPublic, msalsOther} {
						for _, tenant := range []string{"", "common", msalsTenant} {
							for _, user := range []string{"ana@contoso.com", "bo@contoso.com", ""} {
								q := tokencache.Query{Username: user, ClientID: client, Tenant: tenant, App: user == ""}
								if at, ok := c.AccessToken(q); ok && at.Secret == tokencache.Secret(e["secret"].(string)) {
									t.Errorf("%+v is answered with the token under %s", q, key)
								}
							}
						}
					}
				}
			}
		})
	}
	if bound != 5 {
		t.Errorf("%d bound access tokens are in the records, want 5", bound)
	}
}

// others are the entries of a document that are not ana's of the public client.
func others(d document) document {
	rest := document{}
	for section, entries := range d {
		rest[section] = map[string]map[string]any{}
		for key, e := range entries {
			mine := e["client_id"] == msalsPublic && !strings.HasPrefix(key, "444b9178") || e["username"] == "ana@contoso.com"
			if !mine || isBound(e) {
				rest[section][key] = e
			}
		}
	}
	return rest
}

func TestARefreshKeepsWhatAnotherMSALWroteOfOthers(t *testing.T) {
	for library, record := range msals(t) {
		t.Run(library, func(t *testing.T) {
			c := parse(t, record)
			put(t, c, tokencache.TokenResponse{
				AccessToken: "at-ours", RefreshToken: "rt-ours", Scope: "https://graph.microsoft.com/User.Read", ExpiresIn: 3600,
				ClientID: msalsPublic, Tenant: msalsTenant, HomeAccountID: accountOf(t, c, "ana@contoso.com"), GrantType: "refresh_token", Sent: noon,
			})
			after := read(t, marshal(t, parse(t, marshal(t, c))))
			for section, entries := range others(read(t, record)) {
				for _, key := range slices.Sorted(maps.Keys(entries)) {
					if got := after[section][key]; !reflect.DeepEqual(got, entries[key]) {
						t.Errorf("%s %s became\n%v\nfrom\n%v", section, key, got, entries[key])
					}
				}
			}
		})
	}
}

// MSAL Go, Node and Java write where their own keys say. A refresh of ours under
// another key would leave them two tokens to choose from, one of them spent.
func TestARefreshStandsUnderTheKeysOfAnotherMSAL(t *testing.T) {
	for library, record := range msals(t) {
		t.Run(library, func(t *testing.T) {
			c := parse(t, record)
			q := tokencache.Query{Username: "ana@contoso.com", ClientID: msalsPublic, Scopes: []string{"User.Read"}}
			at, _ := c.AccessToken(q)
			id, _ := c.IDToken(q)
			put(t, c, tokencache.TokenResponse{
				AccessToken: "at-ours", RefreshToken: "rt-ours", IDToken: id.Secret.Reveal(), ExpiresIn: 3600,
				Scope:    "openid profile https://graph.microsoft.com/Mail.ReadWrite https://graph.microsoft.com/User.Read",
				ClientID: msalsPublic, Tenant: at.Realm, Environment: at.Environment, HomeAccountID: at.HomeAccountID,
				GrantType: "refresh_token", Sent: at.CachedAt.Add(time.Second),
			})
			before, after := read(t, record), read(t, marshal(t, c))
			for section, entries := range before {
				want, got := slices.Sorted(maps.Keys(entries)), slices.Sorted(maps.Keys(after[section]))
				if section == "AppMetadata" {
					continue
				}
				if !slices.Equal(got, want) {
					t.Errorf("the keys of %s became\n%q\nfrom\n%q", section, got, want)
				}
			}
			if rt, _ := c.RefreshToken(q); rt.Secret != "rt-ours" {
				t.Errorf("the refresh token is %q", rt.Secret.Reveal())
			}
			if now, _ := c.AccessToken(q); now.Secret != "at-ours" {
				t.Errorf("the access token is %q", now.Secret.Reveal())
			}
			apps := 0
			for _, e := range after["AppMetadata"] {
				if e["client_id"] == msalsPublic {
					apps++
				}
			}
			if apps != 1 {
				t.Errorf("%d AppMetadata entries are the client's; MSAL Node refuses to refresh when two are", apps)
			}
		})
	}
}

func accountOf(t *testing.T, c *tokencache.Cache, username string) string {
	t.Helper()
	a, ok := c.Account(tokencache.Query{Username: username})
	if !ok {
		t.Fatalf("there is no %s", username)
	}
	return a.HomeAccountID
}

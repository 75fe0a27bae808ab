package tokencache_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

const (
	clientA = "11111111-2222-3333-4444-555555555555" // python-o365's in testdata
	clientB = "99999999-2222-3333-4444-555555555555"
	tenant  = "cccccccc-0000-0000-0000-000000000000"
	anaID   = "aaaaaaaa-0000-0000-0000-000000000001." + tenant
	boID    = "aaaaaaaa-0000-0000-0000-000000000002." + tenant
	cloud   = "login.microsoftonline.com"
)

var (
	ana  = tokencache.Query{Username: "ana@contoso.com"}
	bo   = tokencache.Query{Username: "bo@contoso.com"}
	noon = time.Unix(1_700_000_000, 0)
)

func parse(t testing.TB, data string) *tokencache.Cache {
	t.Helper()
	c, err := tokencache.Parse([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func marshal(t testing.TB, c *tokencache.Cache) string {
	t.Helper()
	data, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func put(t testing.TB, c *tokencache.Cache, r tokencache.TokenResponse) {
	t.Helper()
	if err := c.Put(r); err != nil {
		t.Fatal(err)
	}
}

// python is a file that python-o365 wrote.
func python(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "python-o365", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// document is a token cache as any reader sees it: section, key, field.
type document map[string]map[string]map[string]any

func read(t testing.TB, data string) document {
	t.Helper()
	var d document
	if err := json.Unmarshal([]byte(data), &d); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return d
}

// only is the one entry of a section.
func (d document) only(t testing.TB, section string) map[string]any {
	t.Helper()
	if len(d[section]) != 1 {
		t.Fatalf("%d entries in %s, want 1: %v", len(d[section]), section, d[section])
	}
	for _, e := range d[section] {
		return e
	}
	return nil
}

func wantSame(t testing.TB, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%v in %s", err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%v in %s", err, want)
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func wantAccess(t testing.TB, c *tokencache.Cache, q tokencache.Query, want string) {
	t.Helper()
	if at, ok := c.AccessToken(q); ok != (want != "") || at.Secret.Reveal() != want {
		t.Errorf("%+v has the access token %q, want %q", q, at.Secret.Reveal(), want)
	}
}

func wantRefresh(t testing.TB, c *tokencache.Cache, q tokencache.Query, want string) {
	t.Helper()
	if rt, ok := c.RefreshToken(q); ok != (want != "") || rt.Secret.Reveal() != want {
		t.Errorf("%+v has the refresh token %q, want %q", q, rt.Secret.Reveal(), want)
	}
}

// idToken is an unsigned JWT.
func idToken(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig"
}

func clientInfo(uid, utid string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"uid":%q,"utid":%q}`, uid, utid))
}

// answer is what a token endpoint answers when a user signs in to clientA.
func answer(username, homeAccountID, token string, sent time.Time) tokencache.TokenResponse {
	uid, utid, _ := strings.Cut(homeAccountID, ".")
	return tokencache.TokenResponse{
		AccessToken: "at-" + token, RefreshToken: "rt-" + token,
		IDToken:    idToken(fmt.Sprintf(`{"oid":%q,"tid":%q,"preferred_username":%q,"iat":%d}`, uid, utid, username, sent.Unix())),
		ClientInfo: clientInfo(uid, utid), Scope: "User.Read Mail.Read", ExpiresIn: 3600,
		ClientID: clientA, Tenant: "common", GrantType: "authorization_code", Sent: sent,
	}
}

// refreshed is what it answers when that user's tokens are refreshed.
func refreshed(username, homeAccountID, token string, sent time.Time) tokencache.TokenResponse {
	r := answer(username, homeAccountID, token, sent)
	r.GrantType = "refresh_token"
	return r
}

// signedIn is a cache with ana and bo in it, signed in at noon.
func signedIn(t testing.TB) *tokencache.Cache {
	t.Helper()
	c := tokencache.New()
	put(t, c, answer("ana@contoso.com", anaID, "ana", noon))
	put(t, c, answer("bo@contoso.com", boID, "bo", noon))
	return c
}

// section is one member of a document, as JSON.
func section(t testing.TB, data, name string) string {
	t.Helper()
	var sections map[string]json.RawMessage
	if err := json.Unmarshal([]byte(data), &sections); err != nil {
		t.Fatal(err)
	}
	return string(sections[name])
}

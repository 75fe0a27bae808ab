package tokencache_test

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestPutWritesWhatTheLibrariesRead(t *testing.T) {
	c := tokencache.New()
	r := answer("ana@contoso.com", anaID, "ana", noon)
	r.RefreshIn, r.ExtExpiresIn, r.FamilyID = 1800, 7200, "1"
	put(t, c, r)
	wantSame(t, marshal(t, c), fmt.Sprintf(`{
		"AccessToken": {"%[1]s-%[2]s-accesstoken-%[3]s-common-mail.read user.read": {
			"credential_type": "AccessToken", "secret": "at-ana", "home_account_id": "%[1]s", "environment": "%[2]s", "client_id": "%[3]s",
			"target": "Mail.Read User.Read", "realm": "common", "token_type": "Bearer",
			"cached_at": "1700000000", "expires_on": "1700003600", "extended_expires_on": "1700007200", "refresh_on": "1700001800"}},
		"RefreshToken": {"%[1]s-%[2]s-refreshtoken-%[3]s--mail.read user.read": {
			"credential_type": "RefreshToken", "secret": "rt-ana", "home_account_id": "%[1]s", "environment": "%[2]s", "client_id": "%[3]s",
			"target": "Mail.Read User.Read", "last_modification_time": "1700000000", "graphtoken_sent": "1700000000000000000.%[5]s", "family_id": "1"}},
		"IdToken": {"%[1]s-%[2]s-idtoken-%[3]s-common-": {
			"credential_type": "IdToken", "secret": "%[4]s", "home_account_id": "%[1]s", "environment": "%[2]s", "realm": "common", "client_id": "%[3]s"}},
		"Account": {"%[1]s-%[2]s-common": {
			"home_account_id": "%[1]s", "environment": "%[2]s", "realm": "common", "local_account_id": "aaaaaaaa-0000-0000-0000-000000000001",
			"username": "ana@contoso.com", "authority_type": "MSSTS", "account_source": "authorization_code", "last_modification_time": "1700000000",
			"graphtoken_sent": "1700000000000000000.0"}},
		"AppMetadata": {"appmetadata-%[2]s-%[3]s": {"client_id": "%[3]s", "environment": "%[2]s", "family_id": "1"}}
	}`, anaID, cloud, clientA, r.IDToken, fmt.Sprintf("%x", crc32.ChecksumIEEE([]byte("rt-ana")))))
	at, _ := c.AccessToken(ana)
	if !at.ExpiresOn.Equal(noon.Add(time.Hour)) || !at.CachedAt.Equal(noon) || !at.RefreshOn.Equal(noon.Add(30*time.Minute)) || at.TokenType != "Bearer" {
		t.Errorf("the access token is %+v", at)
	}
}

func TestAnUnusableResponseChangesNothing(t *testing.T) {
	for _, c := range []struct {
		sentence string
		spoil    func(r *tokencache.TokenResponse)
	}{
		{"it has no access token", func(r *tokencache.TokenResponse) { r.AccessToken = "" }},
		{"nobody knows whose client asked", func(r *tokencache.TokenResponse) { r.ClientID = "" }},
		{"its client_info is no base64", func(r *tokencache.TokenResponse) { r.ClientInfo = "canary %" }},
		{"its client_info is no JSON", func(r *tokencache.TokenResponse) { r.ClientInfo = "Y2FuYXJ5" }},
		{"its client_info has no uid", func(r *tokencache.TokenResponse) { r.ClientInfo = clientInfo("", "canary") }},
		{"its id token has no base64", func(r *tokencache.TokenResponse) { r.IDToken = "e30.canary%.sig" }},
		{"its id token has no JSON", func(r *tokencache.TokenResponse) { r.IDToken = idToken(`{"canary`) }},
		{"its access token would be two headers", func(r *tokencache.TokenResponse) { r.AccessToken = "canary\r\nX: y" }},
		{"its refresh token has a control character", func(r *tokencache.TokenResponse) { r.RefreshToken = "canary\x00" }},
		{"its id token has a line break", func(r *tokencache.TokenResponse) { r.IDToken = "canary\n" }},
		{"its token type has a letter that is not ASCII", func(r *tokencache.TokenResponse) { r.TokenType = "canarý" }},
		{"its id token names nobody", func(r *tokencache.TokenResponse) { r.ClientInfo, r.IDToken = "", idToken(`{"aud":"canary"}`) }},
		{"its refresh token belongs to nobody", func(r *tokencache.TokenResponse) { r.ClientInfo, r.IDToken = "", "" }},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			cache := signedIn(t)
			before := marshal(t, cache)
			r := refreshed("ana@contoso.com", anaID, "canary", noon.Add(time.Hour))
			c.spoil(&r)
			err := cache.Put(r)
			if err == nil || !strings.HasPrefix(err.Error(), "tokencache: unusable token response: ") || strings.Contains(err.Error(), "canary") {
				t.Errorf("the error is %v", err)
			}
			if after := marshal(t, cache); after != before {
				t.Errorf("it became %s", after)
			}
		})
	}
}

func TestPutKnowsWhoseTokensTheyAre(t *testing.T) {
	const guest = "bbbbbbbb-0000-0000-0000-000000000009.dddddddd-0000-0000-0000-000000000000"
	padded := base64.URLEncoding.EncodeToString([]byte(`{"uid":"u1","utid":"t1"} `))
	for _, c := range []struct {
		sentence                       string
		clientInfo, idToken, home      string
		want, localAccountID, username string
	}{
		{"client_info is a user's home", clientInfo("u", "t"), "", "", "u.t", "u", ""},
		{"client_info may be padded", padded, "", "", "u1.t1", "u1", ""},
		{"client_info goes before what the caller believes", clientInfo("u", "t"), "", "x.y", "u.t", "u", ""},
		{"the caller knows", "", "", "x.y", "x.y", "x", ""},
		{"the id token names the user in the tenant", "", idToken(`{"oid":"o","tid":"t","preferred_username":"eve@contoso.com"}`), "", "o.t", "o", "eve@contoso.com"},
		{"a guest's home is elsewhere", clientInfo("u", "home"), idToken(`{"oid":"o","tid":"t","upn":"eve@contoso.com"}`), "", "u.home", "o", "eve@contoso.com"},
		{"a guest who is known by the object ID is recognized", "", idToken(`{"oid":"guest-oid","tid":"t"}`), "", guest, "guest-oid", "gus@fabrikam.com"},
		{"ADFS names the subject", "", idToken(`{"sub":"s","upn":"eve"}`), "", "s", "s", "eve"},
		{"client_info without utid has the uid for both, as in MSAL Go", base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"u"}`)), "", "", "u.u", "u", ""},
		{"B2C names a list of addresses", clientInfo("u", "t"), idToken(`{"sub":"s","emails":["eve@contoso.com","e@x"]}`), "", "u.t", "s", "eve@contoso.com"},
		{"claims of other types are as good as none", clientInfo("u", "t"), idToken(`{"oid":{},"sub":7,"tid":null,"preferred_username":["p@x"],"upn":1.5,"email":{"a":1},"emails":"e@x","name":[]}`), "", "u.t", "7", "p@x"},
		{"a list of odd things has a name in it", clientInfo("u", "t"), idToken(`{"oid":true,"preferred_username":false,"upn":{},"email":[],"emails":[null,{},"e@x"]}`), "", "u.t", "u", "e@x"},
		{"an e-mail address is better than no name", clientInfo("u", "t"), idToken(`{"sub":"s","email":"eve@contoso.com"}`), "", "u.t", "s", "eve@contoso.com"},
		{"an id token that is no JWT is kept as it is", clientInfo("u", "t"), "opaque", "", "u.t", "u", ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			cache := parse(t, `{"Account":{"g":{"home_account_id":"`+guest+`","environment":"`+cloud+`","realm":"common","local_account_id":"guest-oid","username":"gus@fabrikam.com"}}}`)
			put(t, cache, tokencache.TokenResponse{
				AccessToken: "at", RefreshToken: "rt", IDToken: c.idToken, ClientInfo: c.clientInfo, HomeAccountID: c.home,
				ClientID: clientA, Tenant: "common", ExpiresIn: 60,
			})
			q := tokencache.Query{HomeAccountID: c.want}
			wantAccess(t, cache, q, "at")
			wantRefresh(t, cache, q, "rt")
			if a, _ := cache.Account(q); a.LocalAccountID != c.localAccountID || a.Username != c.username {
				t.Errorf("the account is %+v", a)
			}
			if id, ok := cache.IDToken(q); ok != (c.idToken != "") || id.Secret.Reveal() != c.idToken {
				t.Errorf("the id token is %q", id.Secret.Reveal())
			}
			if n := len(cache.Accounts()); n != 2 && c.want != guest || n != 1 && c.want == guest {
				t.Errorf("there are %d accounts", n)
			}
		})
	}
}

func TestPutReplacesEntriesForTheSameToken(t *testing.T) {
	later := noon.Add(10 * time.Minute)
	for _, c := range []struct {
		sentence        string
		change          func(r *tokencache.TokenResponse)
		access, refresh []string // secrets that are there then
	}{
		{"a refresh takes the old tokens' place", nil, []string{"at-new"}, []string{"rt-new"}},
		{"a response without a refresh token leaves the one there is", func(r *tokencache.TokenResponse) { r.RefreshToken = "" }, []string{"at-new"}, []string{"rt-ana"}},
		{"more scopes supersede", func(r *tokencache.TokenResponse) { r.Scope += " Files.Read" }, []string{"at-new"}, []string{"rt-new"}},
		{"fewer scopes are another token", func(r *tokencache.TokenResponse) { r.Scope = "User.Read" }, []string{"at-ana", "at-new"}, []string{"rt-new"}},
		{"an expired token goes, whatever its scopes", func(r *tokencache.TokenResponse) { r.Scope, r.Sent = "Files.Read", noon.Add(time.Hour) }, []string{"at-new"}, []string{"rt-new"}},
		{"another tenant has its own access token and shares the refresh token", func(r *tokencache.TokenResponse) { r.Tenant = "fabrikam.com" }, []string{"at-ana", "at-new"}, []string{"rt-new"}},
		{"another client's tokens are its own", func(r *tokencache.TokenResponse) { r.ClientID = clientB }, []string{"at-ana", "at-new"}, []string{"rt-ana", "rt-new"}},
		{"another host of the same cloud changes nothing", func(r *tokencache.TokenResponse) { r.Environment = "login.windows.net" }, []string{"at-new"}, []string{"rt-new"}},
		{"another cloud is another place", func(r *tokencache.TokenResponse) { r.Environment = "login.microsoftonline.us" }, []string{"at-ana", "at-new"}, []string{"rt-ana", "rt-new"}},
		{"who joins a family leaves the own token", func(r *tokencache.TokenResponse) { r.FamilyID = "1" }, []string{"at-new"}, []string{"rt-new"}},
		{"another type of token stands beside", func(r *tokencache.TokenResponse) { r.TokenType = "pop" }, []string{"at-ana", "at-new"}, []string{"rt-new"}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			cache := tokencache.New()
			put(t, cache, answer("ana@contoso.com", anaID, "ana", noon))
			r := refreshed("ana@contoso.com", anaID, "new", later)
			if c.change != nil {
				c.change(&r)
			}
			put(t, cache, r)
			d := read(t, marshal(t, cache))
			wantSecrets(t, d, "AccessToken", c.access)
			wantSecrets(t, d, "RefreshToken", c.refresh)
			if again := parse(t, marshal(t, cache)); marshal(t, again) != marshal(t, cache) {
				t.Error("Parse doesn't leave it as Put does")
			}
		})
	}
}

func wantSecrets(t *testing.T, d document, section string, want []string) {
	t.Helper()
	got := make(map[string]bool)
	for _, e := range d[section] {
		got[e["secret"].(string)] = true
	}
	ok := len(got) == len(want)
	for _, s := range want {
		ok = ok && got[s]
	}
	if !ok {
		t.Errorf("%s has %v, want %q", section, got, want)
	}
}

func TestAFamilysTokenIsSharedAndLeft(t *testing.T) {
	c := tokencache.New()
	r := answer("ana@contoso.com", anaID, "one", noon)
	r.FamilyID = "1"
	put(t, c, r)
	r = refreshed("ana@contoso.com", anaID, "two", noon.Add(time.Second))
	r.FamilyID, r.ClientID = "1", clientB
	put(t, c, r)
	for _, client := range []string{clientA, clientB, "a third one of the family"} {
		wantRefresh(t, c, tokencache.Query{Username: ana.Username, ClientID: client}, "rt-two")
	}
	r = refreshed("ana@contoso.com", anaID, "own", noon.Add(2*time.Second))
	put(t, c, r) // client A has left
	wantRefresh(t, c, tokencache.Query{Username: ana.Username, ClientID: clientA}, "rt-own")
	wantRefresh(t, c, tokencache.Query{Username: ana.Username, ClientID: clientB}, "rt-two")
	r = refreshed("ana@contoso.com", anaID, "three", noon.Add(3*time.Second))
	r.FamilyID, r.ClientID = "1", clientB
	put(t, c, r)
	wantRefresh(t, c, tokencache.Query{Username: ana.Username, ClientID: clientA}, "rt-own")
}

func TestOnlyASignInIsNotedInTheAccount(t *testing.T) {
	c := parse(t, python(t, "o365_token.txt"))
	source := func() any {
		return read(t, marshal(t, c))["Account"][anaID+"-"+cloud+"-common"]["account_source"]
	}
	before := section(t, marshal(t, c), "Account")
	put(t, c, refreshed("ana@contoso.com", anaID, "new", noon))
	if after := section(t, marshal(t, c), "Account"); after != before {
		t.Errorf("a refresh made the accounts %s", after)
	}
	r := answer("ana@contoso.com", anaID, "new", noon)
	r.GrantType = "password"
	put(t, c, r)
	if source() != "password" {
		t.Errorf("a sign-in made account_source %v", source())
	}
}

func TestARenamedUserIsFoundByTheNewNameAlone(t *testing.T) {
	c := signedIn(t)
	copied := c.Clone()
	put(t, c, refreshed("ana.sousa@contoso.com", anaID, "new", noon))
	wantAccess(t, c, tokencache.Query{Username: "Ana.Sousa@contoso.com"}, "at-new")
	wantAccess(t, c, ana, "")
	wantAccess(t, copied, ana, "at-ana")
	wantAccess(t, copied, tokencache.Query{Username: "ana.sousa@contoso.com"}, "")
}

func TestAnAccountInAnotherTenantHasTheSameName(t *testing.T) {
	c := signedIn(t)
	r := refreshed("", anaID, "new", noon)
	r.IDToken, r.Tenant = "", "fabrikam.com"
	put(t, c, r)
	q := tokencache.Query{HomeAccountID: anaID, Tenant: "fabrikam.com"}
	if a, ok := c.Account(q); !ok || a.Username != "ana@contoso.com" {
		t.Errorf("got %+v", a)
	}
	if got := c.Accounts(); len(got) != 3 {
		t.Errorf("got %+v", got)
	}
}

func TestADFSIsNamedAsTheAuthority(t *testing.T) {
	c := tokencache.New()
	put(t, c, tokencache.TokenResponse{
		AccessToken: "at", RefreshToken: "rt", IDToken: idToken(`{"sub":"s","upn":"ana@corp"}`), ExpiresIn: 60,
		ClientID: clientA, Environment: "adfs.corp.example", Tenant: "adfs",
	})
	a, ok := c.Account(tokencache.Query{Username: "ana@corp"})
	if !ok || a.AuthorityType != "ADFS" || a.HomeAccountID != "s" || a.Environment != "adfs.corp.example" {
		t.Errorf("got %+v", a)
	}
}

func TestADeadTokenIsNotTrustedBecauseItsAnswerWasSlow(t *testing.T) {
	c := tokencache.New()
	r := answer("ana@contoso.com", anaID, "ana", time.Now().Add(-2*time.Hour))
	put(t, c, r)
	if !c.Expired(ana, time.Now()) {
		t.Error("its life counts from the arrival of the answer")
	}
	r.ExpiresIn = 1 << 62 // no overflow makes a long-lived token a dead one
	put(t, c, r)
	if c.Expired(ana, time.Now()) {
		t.Error("a long life is none")
	}
}

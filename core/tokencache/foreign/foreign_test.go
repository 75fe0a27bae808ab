package foreign_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/core/tokencache/foreign"
)

const (
	client = "0b1c2d3e-0000-4000-8000-00000000c11e"
	oid    = "aaaaaaaa-0000-4000-8000-000000000001"
	tid    = "bbbbbbbb-0000-4000-8000-000000000002"
	ana    = "ana@contoso.com"
	canary = "canary" // is in every secret, and must be in no error
)

func jwt(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte(canary))
}

// anas are the claims of Ana's access token for Microsoft Graph.
const anas = `"appid":"` + client + `","oid":"` + oid + `","tid":"` + tid + `","upn":"` + ana + `","scp":"User.Read"`

// legacy is a token as python-o365 2.0.38 writes one, with these members changed.
func legacy(t *testing.T, changed map[string]any) []byte {
	t.Helper()
	m := map[string]any{
		"token_type": "Bearer", "scope": []string{"https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/Mail.Read"},
		"expires_in": 3599, "ext_expires_in": 3599, "access_token": jwt("{" + anas + "}"), "refresh_token": canary + "-refresh", "expires_at": 1700003599.25,
	}
	for name, value := range changed {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// library is a token cache that another library wrote.
func library(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "testdata", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func utf16of(text string, big bool) []byte {
	var data []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		if big {
			data = append(data, byte(unit>>8), byte(unit))
		} else {
			data = append(data, byte(unit), byte(unit>>8))
		}
	}
	return data
}

func TestATokenCacheIsReadInEachEncoding(t *testing.T) {
	for _, name := range []string{"msals/python.json", "msals/go.json", "msals/node.json", "msals/java.json", "python-o365/o365_token.txt"} {
		plain := library(t, name)
		c, err := tokencache.Parse(plain)
		if err != nil {
			t.Fatal(err)
		}
		want, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		quoted, err := json.Marshal(string(plain))
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []struct {
			sentence string
			data     []byte
		}{
			{"as it is", plain},
			{"with a byte order mark", append([]byte("\ufeff"), plain...)},
			{"in UTF-16, little-endian, as Windows PowerShell redirects output", utf16of(string(plain), false)},
			{"in UTF-16, big-endian", utf16of(string(plain), true)},
			{"as a text in a JSON string, as Django's model has it", quoted},
			{"with line ends around it", append(append([]byte("\r\n"), plain...), '\n', '\n')},
		} {
			got, is, err := foreign.Read(form.data, foreign.Owner{})
			if err != nil || is != foreign.TokenCache {
				t.Errorf("%s, %s: it is a %s, %v", name, form.sentence, is, err)
				continue
			}
			if data, err := got.Marshal(); err != nil || string(data) != string(want) {
				t.Errorf("%s, %s: it became another document (%v)", name, form.sentence, err)
			}
		}
	}
}

func TestAnOAuthTokenIsItsOwnersByItsClaims(t *testing.T) {
	home := oid + "." + tid
	user := tokencache.Query{HomeAccountID: home, ClientID: client, Scopes: []string{"User.Read"}}
	info := base64.RawURLEncoding.EncodeToString([]byte(`{"uid":"` + oid + `","utid":"` + tid + `"}`))
	for _, c := range []struct {
		sentence string
		changed  map[string]any
		of       foreign.Owner
		query    tokencache.Query
		username string
	}{
		{"Entra's access token names client, tenant and user", nil, foreign.Owner{}, user, ana},
		{"the scopes may be one text", map[string]any{"scope": "User.Read Mail.Read"}, foreign.Owner{}, user, ana},
		{"without scopes, those of the access token count", map[string]any{"scope": nil}, foreign.Owner{}, user, ana},
		{"the ID token names client, tenant and user", map[string]any{"access_token": canary,
			"id_token": jwt(`{"aud":"` + client + `","oid":"` + oid + `","tid":"` + tid + `","preferred_username":"` + ana + `"}`)}, foreign.Owner{}, user, ana},
		{"an opaque access token needs to be told everything", map[string]any{"access_token": canary},
			foreign.Owner{ClientID: client, HomeAccountID: home, Username: ana}, user, ana},
		{"client_info names the user", map[string]any{"access_token": canary, "client_info": info}, foreign.Owner{ClientID: client, Username: ana}, user, ana},
		{"what is told may agree with the claims", nil, foreign.Owner{ClientID: strings.ToUpper(client), Username: "ANA@contoso.com"},
			tokencache.Query{HomeAccountID: home}, "ANA@contoso.com"},
		{"a guest's home is told", map[string]any{"access_token": jwt("{" + anas + `,"idp":"https://sts.windows.net/elsewhere/"}`)},
			foreign.Owner{HomeAccountID: "h.t"}, tokencache.Query{HomeAccountID: "h.t"}, ana},
		{"without scp and a refresh token it is the application's own", map[string]any{"refresh_token": nil,
			"access_token": jwt(`{"appid":"` + client + `","oid":"x","tid":"` + tid + `","roles":["Mail.Read"]}`)}, foreign.Owner{},
			tokencache.Query{App: true, ClientID: client, Tenant: tid}, ""},
		{"an opaque one is the application's own if that is told", map[string]any{"refresh_token": nil, "access_token": canary},
			foreign.Owner{App: true, ClientID: client}, tokencache.Query{App: true, ClientID: client}, ""},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			cache, form, err := foreign.Read(legacy(t, c.changed), c.of)
			if err != nil || form != foreign.OAuthToken {
				t.Fatalf("it is a %s, %v", form, err)
			}
			at, ok := cache.AccessToken(c.query)
			if !ok || at.ExpiresOn.Unix() != 1700003599 || at.CachedAt.Unix() != 1700000000 {
				t.Errorf("the access token is %+v", at)
			}
			if rt, ok := cache.RefreshToken(c.query); ok != (!c.query.App) || ok && rt.Secret != canary+"-refresh" {
				t.Errorf("there is a refresh token: %t", ok)
			}
			if a, _ := cache.Account(c.query); a.Username != c.username {
				t.Errorf("the user is %q, want %q", a.Username, c.username)
			}
		})
	}
}

func TestATokensTimesAreThoseItSays(t *testing.T) {
	for _, c := range []struct {
		sentence        string
		changed         map[string]any
		cached, expires int64
	}{
		{"expires_at is a text", map[string]any{"expires_at": "1700003599"}, 1700000000, 1700003599},
		{"golang.org/x/oauth2 writes expiry", map[string]any{"expires_at": nil, "expires_in": nil, "expiry": time.Unix(1700003600, 0).UTC()}, 1700000000, 1700003600},
		{"the access token says it", map[string]any{"expires_at": nil, "expires_in": nil,
			"access_token": jwt("{" + anas + `,"iat":1700000100,"exp":1700004100}`)}, 1700000100, 1700004100},
		{"an unknown time is long ago, so that every other token is newer", map[string]any{"expires_at": nil}, 1, 3600},
		{"nonsense counts as unknown", map[string]any{"expires_at": -5, "expires_in": "soon"}, 1, 3601},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			cache, _, err := foreign.Read(legacy(t, c.changed), foreign.Owner{})
			if err != nil {
				t.Fatal(err)
			}
			at, _ := cache.AccessToken(tokencache.Query{ClientID: client})
			if at.CachedAt.Unix() != c.cached || at.ExpiresOn.Unix() != c.expires {
				t.Errorf("it is of %d, until %d", at.CachedAt.Unix(), at.ExpiresOn.Unix())
			}
		})
	}
}

func TestDataThatCannotBeReadAreNamed(t *testing.T) {
	msal := func(entry string) []byte {
		return []byte(`{"AccessToken":{"k":{"home_account_id":"h","client_id":"c","secret":"` + canary + `"}},` + entry + `}`)
	}
	var missing *foreign.MissingError
	for _, c := range []struct {
		sentence string
		data     []byte
		of       foreign.Owner
		want     error
		says     string
	}{
		{"nothing is empty", nil, foreign.Owner{}, foreign.ErrNoTokens, "keychain"},
		{"white space is empty", []byte("\ufeff \n"), foreign.Owner{}, foreign.ErrNoTokens, "empty"},
		{"an empty object has no tokens", []byte("{}"), foreign.Owner{}, foreign.ErrNoTokens, ""},
		{"tokens of no application are no tokens", []byte(`{"AccessToken":{"k":{"secret":"` + canary + `"}}}`), foreign.Owner{}, foreign.ErrNoTokens, ""},
		{"a cache of accounts alone has no tokens", []byte(`{"Account":{"k":{"username":"ana"}}}`), foreign.Owner{}, foreign.ErrNoTokens, ""},
		{"Windows encrypts by DPAPI", []byte("\x01\x00\x00\x00\xd0\x8c\x9d\xdf\x01\x15\xd1\x11\x8c\x7a\x00\xc0\x4f\xc2\x97\xeb\x01\x00" + canary), foreign.Owner{}, foreign.ErrProtected, "encrypt_token_cache=false"},
		{"python-o365 encrypts by Fernet", library(t, "python-o365/fernet_token.txt"), foreign.Owner{}, foreign.ErrProtected, "Fernet"},
		{"graphtoken encrypts by its keys", []byte("graphtoken:1:" + canary), foreign.Owner{}, foreign.ErrProtected, "graphtoken"},
		{"the Azure SDK for Go writes a JWE", []byte("eyJhbGciOiJkaXIifQ." + canary + ".a.b.c"), foreign.Owner{}, foreign.ErrProtected, "JWE"},
		{"a web page is no tokens", []byte("<!DOCTYPE html><html>" + canary), foreign.Owner{}, tokencache.ErrCorrupt, "web page"},
		{"a text is no tokens", []byte(canary), foreign.Owner{}, tokencache.ErrCorrupt, ""},
		{"a cache may be cut off", library(t, "msals/python.json")[:300], foreign.Owner{}, tokencache.ErrCorrupt, ""},
		{"a token may be cut off", legacy(t, nil)[:200], foreign.Owner{}, tokencache.ErrCorrupt, ""},
		{"UTF-16 may be cut off", utf16of("{}", false)[:5], foreign.Owner{}, tokencache.ErrCorrupt, "UTF-16"},
		{"azure-cli's service principals are secrets", []byte(`[{"client_id":"x","tenant":"t","client_secret":"` + canary + `"}]`), foreign.Owner{}, foreign.ErrNoTokens, "service principals"},
		{"azure-cli wrote tokens of ADAL", []byte(`[{"_clientId":"x","accessToken":"` + canary + `"}]`), foreign.Owner{}, foreign.ErrNoTokens, "ADAL"},
		{"azure-cli lists subscriptions", []byte("\ufeff" + `{"subscriptions":[],"installationId":"x"}`), foreign.Owner{}, foreign.ErrNoTokens, "msal_token_cache.json"},
		{"az prints an access token alone", []byte(`{"accessToken":"` + canary + `","expiresOn":"x","tokenType":"Bearer"}`), foreign.Owner{}, foreign.ErrNoTokens, "get-access-token"},
		{"an authentication record names an account", []byte(`{"homeAccountId":"x","authority":"y","clientId":"z"}`), foreign.Owner{}, foreign.ErrNoTokens, "authentication record"},
		{"MSAL.NET 2 had a list", []byte(`[{"Key":"tokens","Value":["` + canary + `"]}]`), foreign.Owner{}, foreign.ErrNoTokens, "MSAL.NET"},
		{"a list of another kind is no tokens", []byte(`["` + canary + `"]`), foreign.Owner{}, tokencache.ErrCorrupt, ""},
		{"a user's name controls a terminal", msal(`"Account":{"k":{"username":"ana\u001b[2J"}}`), foreign.Owner{}, foreign.ErrUnfit, "username"},
		{"an entry's name controls a terminal", msal(`"Account":{"\u001b[2J":{"username":"ana"}}`), foreign.Owner{}, foreign.ErrUnfit, "Account"},
		{"a scope changes the direction of writing", msal(`"RefreshToken":{"k":{"target":"User\u202eRead"}}`), foreign.Owner{}, foreign.ErrUnfit, "target"},
		{"a token has a line break", msal(`"RefreshToken":{"k":{"secret":"` + canary + `\n"}}`), foreign.Owner{}, foreign.ErrUnfit, "secret"},
		{"a token has other letters than ASCII", msal(`"RefreshToken":{"k":{"secret":"` + canary + `é"}}`), foreign.Owner{}, foreign.ErrUnfit, "secret"},
		{"an OAuth library's token has a line break", legacy(t, map[string]any{"refresh_token": canary + "\n"}), foreign.Owner{}, foreign.ErrUnfit, ""},
		{"an OAuth library's token is of a user whose name controls a terminal", legacy(t, map[string]any{"access_token": jwt(strings.Replace("{"+anas+"}", ana, `\u001b[2J`, 1))}), foreign.Owner{}, foreign.ErrUnfit, ""},
		{"an OAuth library's access token is empty", legacy(t, map[string]any{"access_token": ""}), foreign.Owner{}, foreign.ErrNoTokens, ""},
		{"a token is of another client", legacy(t, nil), foreign.Owner{ClientID: "other"}, foreign.ErrOtherOwner, client},
		{"a token is of another user", legacy(t, nil), foreign.Owner{Username: "bo@contoso.com"}, foreign.ErrOtherOwner, ana},
		{"an opaque token says nothing", legacy(t, map[string]any{"access_token": canary}), foreign.Owner{}, nil, "client ID it is, and whose"},
		{"a guest's token doesn't tell the home", legacy(t, map[string]any{"access_token": jwt("{" + anas + `,"acct":1}`)}), foreign.Owner{}, nil, "whose it is"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			cache, _, err := foreign.Read(c.data, c.of)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || c.want == nil && !errors.As(err, &missing) {
				t.Fatalf("the error is %v, want %v", err, c.want)
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), canary) {
				t.Errorf("the error is %q, and should say %q, and no secret", err, c.says)
			}
			if cache != nil {
				t.Error("a cache comes with the error")
			}
		})
	}
}

func TestAnOAuthTokenIsReadAsItWasWritten(t *testing.T) {
	c := tokencache.New()
	sent := time.Unix(1700000000, 0)
	err := c.Put(tokencache.TokenResponse{
		AccessToken: jwt("{" + anas + "}"), RefreshToken: "refresh", IDToken: jwt(`{"aud":"` + client + `","oid":"` + oid + `","tid":"` + tid + `","preferred_username":"` + ana + `"}`),
		HomeAccountID: oid + "." + tid, ClientID: client, Tenant: tid, Scope: "Mail.Read User.Read", ExpiresIn: 3599, Sent: sent,
	})
	if err != nil {
		t.Fatal(err)
	}
	q := tokencache.Query{Username: ana}
	data, err := foreign.MarshalToken(c, q)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := foreign.Read(data, foreign.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	was, _ := c.AccessToken(q)
	is, _ := again.AccessToken(q)
	if fmt.Sprint(is.Scopes, is.ExpiresOn, is.CachedAt, is.ClientID, is.Realm, is.HomeAccountID) != fmt.Sprint(was.Scopes, was.ExpiresOn, was.CachedAt, was.ClientID, was.Realm, was.HomeAccountID) || is.Secret != was.Secret {
		t.Errorf("the access token became %+v, was %+v", is, was)
	}
	if rt, _ := again.RefreshToken(q); rt.Secret != "refresh" {
		t.Error("the refresh token is another")
	}
	if _, err := foreign.MarshalToken(c, tokencache.Query{Username: "bo@contoso.com"}); !errors.Is(err, foreign.ErrNoAccessToken) {
		t.Errorf("of a user who isn't there: %v", err)
	}
}

// MSAL.NET 4 writes this form: MsalAccessTokenCacheItem.cs, MsalRefreshTokenCacheItem.cs,
// MsalIdTokenCacheItem.cs, MsalAccountCacheItem.cs and MsalAppMetadataCacheItem.cs of
// AzureAD/microsoft-authentication-library-for-dotnet, in TokenCacheJsonSerializer.cs. So do
// Azure PowerShell (msal.cache), and Azure's SDKs for .NET.
const dotNet = `{"AccessToken":{"OID.TID-login.windows.net-accesstoken-CLIENT-TID-user.read":{
	"home_account_id":"OID.TID","environment":"login.windows.net","client_info":"e30","client_id":"CLIENT","secret":"canary-at","credential_type":"AccessToken",
	"realm":"TID","target":"openid profile User.Read","cached_at":"1700000000","expires_on":"1700003599","extended_expires_on":"1700007199","refresh_on":null,"ext_expires_on":"1700007199"}},
"RefreshToken":{"OID.TID-login.windows.net-refreshtoken-CLIENT--":{
	"home_account_id":"OID.TID","environment":"login.windows.net","client_info":"e30","client_id":"CLIENT","secret":"canary-rt","credential_type":"RefreshToken"}},
"IdToken":{"OID.TID-login.windows.net-idtoken-CLIENT-TID-":{
	"home_account_id":"OID.TID","environment":"login.windows.net","client_info":"e30","client_id":"CLIENT","secret":"canary-id","credential_type":"IdToken","realm":"TID"}},
"Account":{"OID.TID-login.windows.net-TID":{
	"home_account_id":"OID.TID","environment":"login.windows.net","client_info":"e30","username":"ana@contoso.com","name":"Ana","given_name":null,"family_name":null,
	"local_account_id":"OID","authority_type":"MSSTS","realm":"TID","wam_account_ids":{"CLIENT":"x"}}},
"AppMetadata":{"appmetadata-login.windows.net-CLIENT":{"client_id":"CLIENT","environment":"login.windows.net","family_id":""}}}`

func TestACacheInTheFormOfMSALNETIsRead(t *testing.T) {
	document := strings.NewReplacer("OID", oid, "TID", tid, "CLIENT", client).Replace(dotNet)
	c, _, err := foreign.Read([]byte("\ufeff"+document), foreign.Owner{})
	if err != nil {
		t.Fatal(err)
	}
	q := tokencache.Query{Username: ana, ClientID: client, Environment: "login.microsoftonline.com", Scopes: []string{"User.Read"}}
	if at, ok := c.AccessToken(q); !ok || at.Secret != canary+"-at" || at.ExpiresOn.Unix() != 1700003599 {
		t.Errorf("the access token is %+v", at)
	}
	if rt, ok := c.RefreshToken(q); !ok || rt.Secret != canary+"-rt" {
		t.Errorf("the refresh token is %+v", rt)
	}
	data, err := c.Marshal()
	if err != nil || !strings.Contains(string(data), "wam_account_ids") {
		t.Errorf("what no other library writes is gone (%v)", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(dotNet), client, "h.t", ana)
	f.Add([]byte("\ufeff{}"), "", "", "")
	f.Add([]byte("\xff\xfe{\x00}\x00"), "", "", "")
	f.Add([]byte(`"{\"access_token\":\"a\"}"`), client, "h.t", "")
	f.Add([]byte(`{"access_token":"e30.e30.x","expires_at":1e400,"scope":[1],"id_token":"e30.bnVsbA.x"}`), client, "", "")
	f.Add([]byte(`[{"_clientId":1}]`), "", "", "")
	f.Fuzz(func(t *testing.T, data []byte, client, home, username string) {
		c, form, err := foreign.Read(data, foreign.Owner{ClientID: client, HomeAccountID: home, Username: username})
		if (c == nil) != (err != nil) || (form == "") != (err != nil) {
			t.Fatalf("got %v, %q, %v", c, form, err)
		}
		if err != nil {
			return
		}
		again, err := c.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := foreign.Read(again, foreign.Owner{}); err != nil {
			t.Fatalf("what was read can't be read again: %v", err)
		}
		if text, err := foreign.MarshalToken(c, tokencache.Query{}); err == nil && !json.Valid(text) {
			t.Fatalf("the token is no JSON")
		}
	})
}

package tokencache_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestPythonO365sUsersAreFoundByEitherName(t *testing.T) {
	c := parse(t, python(t, "o365_token.txt"))
	for _, u := range []struct{ name, shouted, home, access, refresh string }{
		{"ana@contoso.com", "ANA@Contoso.com", anaID, "at-ana", "rt-ana"},
		{"bo@contoso.com", "Bo@CONTOSO.COM", boID, "at-bo", ""},
	} {
		for _, q := range []tokencache.Query{
			{Username: u.name}, {Username: u.shouted}, {HomeAccountID: u.home}, {HomeAccountID: strings.ToUpper(u.home)},
			{Username: u.name, HomeAccountID: u.home, ClientID: clientA, Tenant: "common", Scopes: []string{"user.read"}},
		} {
			wantAccess(t, c, q, u.access)
			wantRefresh(t, c, q, u.refresh)
			if a, ok := c.Account(q); !ok || a.Username != u.name || a.HomeAccountID != u.home || a.AuthorityType != "MSSTS" {
				t.Errorf("%+v is the account %+v", q, a)
			}
			if id, ok := c.IDToken(q); !ok || !strings.HasPrefix(id.Secret.Reveal(), "eyJ") || id.Realm != "common" {
				t.Errorf("%+v has the id token %+v", q, id)
			}
			if c.LongLived(q) != (u.refresh != "") {
				t.Errorf("%+v: LongLived is %v", q, c.LongLived(q))
			}
			if c.Expired(q, noon) || !c.Expired(q, noon.Add(3599e9)) {
				t.Errorf("%+v: it doesn't expire when it says", q)
			}
		}
	}
	wantAccess(t, c, tokencache.Query{App: true}, "")
}

func TestPythonO365sFilesKeepTheirContent(t *testing.T) {
	for _, name := range []string{"o365_token.txt", "client_credentials.txt"} {
		data := python(t, name)
		wantSame(t, marshal(t, parse(t, data)), data)
	}
}

func TestPythonO365sApplicationTokenBelongsToNoUser(t *testing.T) {
	c := parse(t, python(t, "client_credentials.txt"))
	wantAccess(t, c, tokencache.Query{App: true, Scopes: []string{".default"}}, "at-app")
	wantAccess(t, c, tokencache.Query{App: true, Tenant: "another"}, "")
	wantAccess(t, c, tokencache.Query{}, "")
	if len(c.Accounts()) != 0 || c.LongLived(tokencache.Query{App: true}) {
		t.Error("an application has no account and no refresh token")
	}
	if e := read(t, marshal(t, c)).only(t, "AccessToken"); e["home_account_id"] != nil {
		t.Errorf("home_account_id became %v, want null", e["home_account_id"])
	}
	put(t, c, tokencache.TokenResponse{AccessToken: "at-app-2", ClientID: clientA, Tenant: "my-tenant", Scope: "https://graph.microsoft.com/.default", ExpiresIn: 3600, Sent: noon})
	e := read(t, marshal(t, c)).only(t, "AccessToken")
	if id, there := e["home_account_id"]; id != nil || !there || e["secret"] != "at-app-2" {
		t.Errorf("Put made %v", e)
	}
}

func TestParseRefusesTextThatIsNoTokenCache(t *testing.T) {
	const canary = "canary-4711"
	for _, c := range []struct{ sentence, data string }{
		{"it is empty", ""},
		{"it is white space", " \t\r\n"},
		{"it is Fernet's ciphertext", python(t, "fernet_token.txt")},
		{"it begins with a byte order mark", "\ufeff{}"},
		{"it was written as UTF-16", "{\x00}\x00"},
		{"a full disk left zeros", strings.Repeat("\x00", 64)},
		{"it is null", "null"},
		{"it is an array", `["` + canary + `"]`},
		{"it is a string, as Django keeps it", `"{}"`},
		{"it is a number", "17"},
		{"another document follows", `{"X":"` + canary + `"}{}`},
		{"a letter follows", `{} ` + canary},
		{"a section is a string", `{"AccessToken":"` + canary + `"}`},
		{"a section is an array", `{"Account":["` + canary + `"]}`},
		{"a section is a number", `{"RefreshToken":1}`},
		{"an entry is a string", `{"AccessToken":{"k":"` + canary + `"}}`},
		{"an entry is true", `{"AccessToken":{"k":true}}`},
		{"a name has no quotes", `{` + canary + `:1}`},
		{"a name has no colon", `{"` + canary + `" 1}`},
		{"a comma is missing", `{"a":"` + canary + `" "b":1}`},
		{"a comma is at the end", `{"a":1,}`},
		{"an array's comma is at the end", `{"a":[1,]}`},
		{"a comment is in it", `{/*` + canary + `*/}`},
		{"a string isn't closed", `{"a":"` + canary},
		{"a string has a raw line break", "{\"a\":\"" + canary + "\n\"}"},
		{"a string has a NUL", "{\"AccessToken\":{\"k\":{\"secret\":\"" + canary + "\x00\"}}}"},
		{"an escape is unknown", `{"a":"` + canary + `\x"}`},
		{"an escape is cut short", `{"a":"` + canary + `\u12"}`},
		{"a backslash is the last byte", `{"a":"` + canary + `\`},
		{"a literal is misspelt", `{"a":nil}`},
		{"a number begins with zero", `{"a":01}`},
		{"a number is not finished", `{"AccessToken":{"k":{"expires_on":1.}}}`},
		{"NaN is no JSON", `{"AccessToken":{"k":{"expires_on":NaN}}}`},
		{"a string isn't UTF-8", "{\"a\":\"" + canary + "\xff\"}"},
		{"a name isn't UTF-8", "{\"" + canary + "\xc3\":1}"},
		{"it is nested beyond reason", `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`},
		{"an entry's unknown field is nested beyond reason", `{"Account":{"k":{"x":` + strings.Repeat(`{"a":`, 50_000)},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			cache, err := tokencache.Parse([]byte(c.data))
			if !errors.Is(err, tokencache.ErrCorrupt) || cache != nil {
				t.Fatalf("got %v, %v", cache, err)
			}
			if len(err.Error()) > 200 || strings.Contains(err.Error(), "canary") {
				t.Errorf("the error quotes what is there: %.300s", err)
			}
		})
	}
}

func TestAFileCutShortAnywhereIsCorrupt(t *testing.T) {
	for _, name := range []string{"o365_token.txt", "client_credentials.txt"} {
		data := strings.TrimSpace(python(t, name))
		for n := range len(data) {
			c, err := tokencache.Parse([]byte(data[:n]))
			if !errors.Is(err, tokencache.ErrCorrupt) || c != nil {
				t.Fatalf("%s, cut after %d of %d bytes: %v, %v", name, n, len(data), c, err)
			}
			if strings.Contains(err.Error(), "-ana") || strings.Contains(err.Error(), "eyJ") {
				t.Fatalf("cut after %d bytes, the error quotes a secret: %v", n, err)
			}
		}
	}
}

func TestALegacyTokenIsNamedAsOne(t *testing.T) {
	const legacy = `{"token_type": "Bearer", "scope": ["User.Read"], "expires_in": 3599, "access_token": "canary-at",
		"refresh_token": "canary-rt", "expires_at": 1700000000.5}`
	c, err := tokencache.Parse([]byte(legacy))
	if !errors.Is(err, tokencache.ErrLegacyToken) || errors.Is(err, tokencache.ErrCorrupt) || c != nil {
		t.Fatalf("got %v, %v", c, err)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the error quotes a secret: %v", err)
	}
	if _, err := tokencache.Parse([]byte(legacy[:80])); !errors.Is(err, tokencache.ErrCorrupt) {
		t.Errorf("a torn one: %v", err)
	}
}

func TestParseAcceptsTheFormsOfOtherWriters(t *testing.T) {
	for _, c := range []struct{ sentence, data, access string }{
		{"an empty object is an empty cache", `{}`, ""},
		{"white space may be anywhere", " \r\n\t{ \"AccessToken\" : { } } \n", ""},
		{"a null section is an empty one", `{"AccessToken":null,"Account":null,"RefreshToken":null,"IdToken":null,"AppMetadata":null}`, ""},
		{"a null entry is nothing", `{"AccessToken":{"k":null}}`, ""},
		{"null fields are empty ones", `{"AccessToken":{"k":{"home_account_id":"h","secret":null,"target":null}}}`, ""},
		{"an entry needs no fields", `{"AccessToken":{"k":{}},"Account":{"":{}}}`, ""},
		{"times may be numbers", `{"AccessToken":{"k":{"home_account_id":"h","secret":"s","expires_on":1700000000,"cached_at":1699999999.5}}}`, "s"},
		{"a number may be huge", `{"AccessToken":{"k":{"home_account_id":"h","secret":"s","expires_on":1e999,"cached_at":99999999999999999999}}}`, "s"},
		{"a field of another type counts as empty", `{"AccessToken":{"k":{"home_account_id":"h","secret":"s","target":["a"],"realm":{},"client_id":true}}}`, "s"},
		{"names may be escaped", `{"Access\u0054oken":{"k":{"home_account_id":"h","\u0073ecret":"s\u0021"}}}`, "s!"},
		{"a lone surrogate is replaced, as encoding/json does", `{"AccessToken":{"\ud800":{"home_account_id":"h","secret":"s\udfff"}}}`, "s\ufffd"},
		{"of a section that stands twice the last counts", `{"AccessToken":{"k":{"home_account_id":"h","secret":"old"}},"AccessToken":{"k":{"home_account_id":"h","secret":"new"}}}`, "new"},
		{"of an entry that stands twice the last counts", `{"AccessToken":{"k":{"home_account_id":"h","secret":"old"},"k":{"home_account_id":"h","secret":"new"}}}`, "new"},
		{"of a field that stands twice the last counts", `{"AccessToken":{"k":{"home_account_id":"h","secret":"old","secret":"new"}}}`, "new"},
		{"unknown values may be nested deep", `{"X":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `,"AccessToken":{"k":{"home_account_id":"h","secret":"s"}}}`, "s"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			cache := parse(t, c.data)
			wantAccess(t, cache, tokencache.Query{}, c.access)
			once := marshal(t, cache)
			if twice := marshal(t, parse(t, once)); twice != once {
				t.Errorf("it doesn't stay the same:\n%s\n%s", once, twice)
			}
			put(t, cache, answer("ana@contoso.com", anaID, "new", noon))
			wantAccess(t, parse(t, marshal(t, cache)), ana, "at-new")
			for _, name := range []string{"AccessToken", "Account", "IdToken", "RefreshToken", "AppMetadata"} {
				if n := strings.Count(marshal(t, cache), fmt.Sprintf("%q:", name)); n != 1 {
					t.Errorf("%s is there %d times", name, n)
				}
			}
		})
	}
}

func TestTimesBeyondReasonAreStillTimes(t *testing.T) {
	for _, seconds := range []string{"9223372036854775807", "-9223372036854775808", "1e14", "-1", `""`, `"soon"`} {
		c := parse(t, `{"AccessToken":{"k":{"home_account_id":"h","secret":"s","expires_on":`+seconds+`}}}`)
		at, _ := c.AccessToken(tokencache.Query{})
		if _, err := at.ExpiresOn.MarshalJSON(); err != nil {
			t.Errorf("%s: %v", seconds, err)
		}
		if late := strings.HasPrefix(seconds, "9") || seconds == "1e14"; c.Expired(tokencache.Query{}, noon) == late {
			t.Errorf("%s: expires on %s", seconds, at.ExpiresOn)
		}
	}
}

// unknown has in it what this package has never heard of.
const unknown = `{
	"Future": {"deep": [1, 2.50, {"x": null}], "text": "caf\u00e9 <&>"},
	"future flag": true,
	"AccessToken": {
		"null one": null,
		"weird": {"home_account_id": 17, "secret": ["not", "a", "string"], "extra": 1.10},
		"h-access": {"home_account_id": "` + anaID + `", "environment": "` + cloud + `", "client_id": "` + clientB + `", "realm": "r", "target": "Files.Read", "secret": "at-b", "vendor": {"a": [true]}}
	},
	"RefreshToken": {"null one": null},
	"Account": {"h-account": {"home_account_id": "` + anaID + `", "environment": "` + cloud + `", "realm": "common", "username": "ana@contoso.com", "name": "Ana Sousa", "account_source": "broker"}},
	"AppMetadata": {"null one": null, "appmetadata-` + cloud + `-` + clientA + `": {"client_id": "` + clientA + `", "vendor": 1}}
}`

func TestUnknownContentSurvives(t *testing.T) {
	want := read(t, `{"AccessToken":`+section(t, unknown, "AccessToken")+`,"RefreshToken":`+section(t, unknown, "RefreshToken")+`}`)
	check := func(t *testing.T, c *tokencache.Cache) {
		t.Helper()
		data := marshal(t, c)
		wantSame(t, section(t, data, "Future"), section(t, unknown, "Future"))
		wantSame(t, section(t, data, "future flag"), "true")
		got := read(t, `{"AccessToken":`+section(t, data, "AccessToken")+`,"RefreshToken":`+section(t, data, "RefreshToken")+
			`,"Account":`+section(t, data, "Account")+`,"AppMetadata":`+section(t, data, "AppMetadata")+`}`)
		for name, entries := range want {
			for key, e := range entries {
				if g, ok := got[name][key]; !ok || len(g) != len(e) {
					t.Errorf("%s %q became %v, was %v", name, key, g, e)
				}
			}
		}
		if a := got["Account"]["h-account"]; a["name"] != "Ana Sousa" {
			t.Errorf("the account became %v", a)
		}
		app := got["AppMetadata"]["appmetadata-"+cloud+"-"+clientA]
		if _, null := got["AppMetadata"]["null one"]; !null || app["vendor"] != 1.0 {
			t.Errorf("the metadata became %v", got["AppMetadata"])
		}
	}
	t.Run("Parse and Marshal", func(t *testing.T) {
		c := parse(t, unknown)
		check(t, c)
		wantSame(t, marshal(t, c), unknown)
	})
	t.Run("Put", func(t *testing.T) {
		c := parse(t, unknown)
		put(t, c, refreshed("ana@contoso.com", anaID, "new", noon))
		check(t, c)
		if a := read(t, `{"Account":`+section(t, marshal(t, c), "Account")+`}`).only(t, "Account"); a["account_source"] != "broker" {
			t.Errorf("a refresh made the account %v", a)
		}
	})
	t.Run("Merge", func(t *testing.T) {
		base := parse(t, unknown)
		mine, theirs := base.Clone(), tokencache.New()
		put(t, mine, refreshed("ana@contoso.com", anaID, "mine", noon))
		theirs.Replace(base)
		put(t, theirs, answer("bo@contoso.com", boID, "bo", noon))
		check(t, tokencache.Merge(base, mine, theirs))
		check(t, tokencache.Merge(nil, mine, nil))
		check(t, tokencache.Merge(nil, nil, theirs))
	})
}

// A user who can write a record mustn't stop its readers: a document of twice the length
// takes about twice as long to read.
func TestTheTimeToParseGrowsWithTheLengthAlone(t *testing.T) {
	document := func(section string, n int, entry string) string {
		var entries []string
		for i := range n {
			entries = append(entries, fmt.Sprintf("\"%d\":%s", i, strings.ReplaceAll(entry, "#", fmt.Sprint(i))))
		}
		return fmt.Sprintf("{%q:{%s}}", section, strings.Join(entries, ","))
	}
	for _, x := range []struct{ sentence, section, entry string }{
		{"users of one name", "Account", `{"home_account_id":"u#.t","username":"same@x","realm":"r","environment":"e"}`},
		{"names of one user", "Account", `{"home_account_id":"u.t","username":"n#@x","realm":"r#","environment":"e"}`},
		{"users in many clouds", "Account", `{"home_account_id":"u.t","username":"n@x","realm":"r","environment":"e#"}`},
		{"refresh tokens of one identity without a stamp", "RefreshToken", `{"home_account_id":"u.t","client_id":"c","environment":"e","secret":"s"}`},
		{"refresh tokens of one client in many families", "RefreshToken", `{"home_account_id":"u.t","client_id":"c","environment":"e","secret":"s","family_id":"#"}`},
		{"id tokens of one identity", "IdToken", `{"home_account_id":"u.t","client_id":"c","environment":"e","realm":"r","secret":"e30.eyJpYXQiOjF9.e30"}`},
		{"access tokens of one user", "AccessToken", `{"home_account_id":"u.t","client_id":"c","environment":"e","realm":"r#","secret":"s","target":"s#"}`},
		{"metadata of one client", "AppMetadata", `{"client_id":"c","environment":"e"}`},
	} {
		t.Run(x.sentence, func(t *testing.T) {
			const n = 40_000 // took 9 s and more where time grew with the square
			data := document(x.section, n, x.entry)
			began := time.Now()
			c := parse(t, data)
			for _, q := range []tokencache.Query{{}, {Username: "same@x"}, {HomeAccountID: "u.t", ClientID: "c"}} {
				c.Account(q)
				c.AccessToken(q)
				c.IDToken(q)
			}
			marshal(t, tokencache.Merge(nil, c, nil))
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("%d bytes took %s", len(data), took)
			}
		})
	}
}

func TestNamesThatLookLikeMarshalsOwnAreKept(t *testing.T) {
	token := func(home, secret string) string {
		return fmt.Sprintf(`{"home_account_id":%q,"client_id":"c","secret":%q}`, home, secret)
	}
	mine := parse(t, `{"RefreshToken":{"k":`+token("u.t", "mine")+`,"k-1":`+token("w.t", "third")+`}}`)
	theirs := parse(t, `{"RefreshToken":{"k":`+token("v.t", "theirs")+`}}`)
	merged := tokencache.Merge(nil, mine, theirs)
	again := parse(t, marshal(t, merged))
	for home, want := range map[string]string{"u.t": "mine", "v.t": "theirs", "w.t": "third"} {
		wantRefresh(t, again, tokencache.Query{HomeAccountID: home}, want)
	}
	if marshal(t, again) != marshal(t, merged) || strings.Count(marshal(t, merged), `"k-1":`) != 1 {
		t.Errorf("it became %s", marshal(t, merged))
	}
}

package tokencache_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestAnAccessTokenHasAllScopesThatAreWanted(t *testing.T) {
	for _, c := range []struct {
		sentence, target, want string
		found                  bool
	}{
		{"no scopes fit any token", "Mail.Read", "", true},
		{"one of several", "Mail.Read User.Read", "User.Read", true},
		{"all in another order", "Mail.Read User.Read", "User.Read Mail.Read", true},
		{"one is missing", "Mail.Read User.Read", "User.Read Files.Read", false},
		{"a part of a name is not the name", "Mail.ReadWrite", "Mail.Read", false},
		{"upper and lower case are the same", "mail.READ", "Mail.Read", true},
		{"Graph's prefix may be written out in what is wanted", "Mail.Read", "https://graph.microsoft.com/Mail.Read", true},
		{"Graph's prefix may be written out in what is there", "https://GRAPH.microsoft.com/Mail.Read", "mail.read", true},
		{"another resource's scope is another", "https://vault.azure.net/Mail.Read", "Mail.Read", false},
		{"another cloud's Graph is another", "https://graph.microsoft.us/Mail.Read", "Mail.Read", false},
		{"the prefix alone is no scope", "Mail.Read", "https://graph.microsoft.com/", false},
		{"what OpenID reserves is not looked for", "Mail.Read", "openid profile email offline_access Mail.Read", true},
		{"what OpenID reserves is not looked for in any case", "Mail.Read", "OpenID Offline_Access", true},
		{"nothing but .default is .default", "https://graph.microsoft.com/.default", ".default", true},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			cache := parse(t, fmt.Sprintf(`{"AccessToken":{"k":{"home_account_id":"h","secret":"s","target":%q}}}`, c.target))
			if _, ok := cache.AccessToken(tokencache.Query{Scopes: strings.Fields(c.want)}); ok != c.found {
				t.Errorf("found: %v", ok)
			}
		})
	}
}

func TestAQueryFindsNoTokenButItsOwn(t *testing.T) {
	c := signedIn(t)
	other := answer("ana@contoso.com", anaID, "b", noon)
	other.ClientID, other.Tenant = clientB, "contoso.com"
	put(t, c, other)
	put(t, c, tokencache.TokenResponse{AccessToken: "at-app", ClientID: clientB, Tenant: "contoso.com", Scope: ".default", ExpiresIn: 3600, Sent: noon})
	query := func(change func(*tokencache.Query)) tokencache.Query {
		q := ana
		change(&q)
		return q
	}
	for _, x := range []struct {
		sentence        string
		q               tokencache.Query
		access, refresh string
	}{
		{"the client's", query(func(q *tokencache.Query) { q.ClientID = clientA }), "at-ana", "rt-ana"},
		{"the other client's", query(func(q *tokencache.Query) { q.ClientID = clientB }), "at-b", "rt-b"},
		{"no client's", query(func(q *tokencache.Query) { q.ClientID = "c" }), "", ""},
		{"the tenant's", query(func(q *tokencache.Query) { q.Tenant, q.ClientID = "COMMON", clientA }), "at-ana", "rt-ana"},
		{"a refresh token is good in every tenant", query(func(q *tokencache.Query) { q.Tenant, q.ClientID = "fabrikam.com", clientA }), "", "rt-ana"},
		{"another user's, of the same client", tokencache.Query{Username: "bo@contoso.com", ClientID: clientA}, "at-bo", "rt-bo"},
		{"the home account's", tokencache.Query{HomeAccountID: boID}, "at-bo", "rt-bo"},
		{"a name and a home account that don't belong together", tokencache.Query{HomeAccountID: boID, Username: "ana@contoso.com"}, "", ""},
		{"a stranger's name", tokencache.Query{Username: "eve@contoso.com"}, "", ""},
		{"a stranger's home account", tokencache.Query{HomeAccountID: "eve"}, "", ""},
		{"of two users when none is named", tokencache.Query{}, "", ""},
		{"of the only user of that client", tokencache.Query{ClientID: clientB}, "at-b", "rt-b"},
		{"of the only user in that tenant", tokencache.Query{Tenant: "contoso.com", ClientID: clientB}, "at-b", "rt-b"},
		{"the application's", tokencache.Query{App: true}, "at-app", ""},
		{"the application's, whatever user is named", tokencache.Query{App: true, Username: "ana@contoso.com"}, "at-app", ""},
		{"another application's", tokencache.Query{App: true, ClientID: clientA}, "", ""},
	} {
		t.Run(x.sentence, func(t *testing.T) {
			wantAccess(t, c, x.q, x.access)
			wantRefresh(t, c, x.q, x.refresh)
			if c.LongLived(x.q) != (x.refresh != "") || c.Expired(x.q, noon) != (x.access == "") {
				t.Error("LongLived or Expired says otherwise")
			}
		})
	}
}

func TestAQueryIsAmbiguousIfSeveralUsersFit(t *testing.T) {
	two := signedIn(t)
	put(t, two, tokencache.TokenResponse{AccessToken: "app", ClientID: clientA, ExpiresIn: 60})
	twins := signedIn(t) // one name in two homes: at work, and as a guest's namesake
	put(t, twins, answer("ana@contoso.com", "x.y", "twin", noon))
	other := answer("eve@contoso.com", "e.v", "eve", noon)
	other.ClientID = clientB
	put(t, twins, other)
	one := parse(t, python(t, "client_credentials.txt"))
	put(t, one, answer("ana@contoso.com", anaID, "ana", noon))
	for _, c := range []struct {
		sentence  string
		cache     *tokencache.Cache
		q         tokencache.Query
		ambiguous bool
	}{
		{"nobody is signed in", tokencache.New(), tokencache.Query{}, false},
		{"one is signed in, beside an application", one, tokencache.Query{}, false},
		{"two are signed in", two, tokencache.Query{}, true},
		{"two are signed in, and one is named", two, ana, false},
		{"an application is meant", two, tokencache.Query{App: true}, false},
		{"two have the same name", twins, ana, true},
		{"two have the same name, and a home account is given", twins, tokencache.Query{Username: ana.Username, HomeAccountID: "x.y"}, false},
		{"the client has several users", twins, tokencache.Query{ClientID: clientA}, true},
		{"the client has one user", twins, tokencache.Query{ClientID: clientB}, false},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			for range 20 { // in whatever order maps are walked
				if got := c.cache.Ambiguous(c.q); got != c.ambiguous {
					t.Fatalf("got %v", got)
				}
			}
			if _, ok := c.cache.AccessToken(c.q); ok && c.ambiguous {
				t.Error("a token was found all the same")
			}
			if c.ambiguous && (c.cache.Remove(c.q) || c.cache.DropAccessToken(c.q)) {
				t.Error("something was removed all the same")
			}
		})
	}
}

func TestARefreshTokenAloneIsFoundInAnyTenant(t *testing.T) {
	c := parse(t, documentOf(entry{"RefreshToken", "k", `"secret":"rt"`}))
	wantRefresh(t, c, tokencache.Query{ClientID: clientA, Tenant: "contoso.com"}, "rt")
}

func TestTheTokenThatExpiresLastIsFound(t *testing.T) {
	c := tokencache.New()
	for i, scope := range []string{"User.Read", "User.Read Mail.Read", "User.Read Files.Read"} {
		r := answer("ana@contoso.com", anaID, fmt.Sprint(i), noon)
		r.Scope, r.ExpiresIn = scope, []int{60, 90, 120}[i]
		put(t, c, r)
	}
	wantAccess(t, c, tokencache.Query{Scopes: []string{"User.Read"}}, "at-2")
	wantAccess(t, c, tokencache.Query{Scopes: []string{"Mail.Read"}}, "at-1")
}

// boundBy are the fields and types by which other MSALs mark a token that is
// good for nobody who asks for less.
var boundBy = []string{
	`"key_id":"1"`, `"keyid":"1"`, `"kid":"1"`, `"ext_cache_key":"1"`, `"ext_cache_key_hash":"1"`, `"credential_type":"AText"`,
	`"credential_type":"AccessToken_With_AuthScheme"`, `"additionalCacheKeyComponents":{"fmi_path":"a"}`, `"requestedClaimsHash":"1"`,
	`"userAssertionHash":"1"`, `"user_assertion_hash":"1"`,
}

func TestATokenThatNeedsMoreThanItselfIsNotFoundAndStays(t *testing.T) {
	for _, field := range append(boundBy, `"token_type":"pop"`, `"token_type":"PoP"`, `"token_type":"ssh-cert"`, `"token_type":"mtls_pop"`, `"token_type":"DPoP"`) {
		c := parse(t, fmt.Sprintf(`{"AccessToken":{"k":{"environment":%q,"client_id":%q,"realm":"t","target":".default","secret":"s",%s}}}`, cloud, clientA, field))
		wantAccess(t, c, tokencache.Query{App: true}, "")
		base := c.Clone()
		put(t, c, tokencache.TokenResponse{AccessToken: "mine", ClientID: clientA, Tenant: "t", Scope: ".default", ExpiresIn: 60})
		for what, c := range map[string]*tokencache.Cache{"Put": c, "Parse": parse(t, marshal(t, c)), "Merge": merge(t, base, c, base)} {
			wantAccess(t, c, tokencache.Query{App: true}, "mine")
			if n := len(read(t, marshal(t, c))["AccessToken"]); n != 2 {
				t.Errorf("%s: after %s %d tokens are left of it and the new one", field, what, n)
			}
		}
	}
}

func TestRefreshAndIDTokensOnBehalfOfAnotherAreNotFoundAndStay(t *testing.T) {
	for _, field := range []string{`"userAssertionHash":"1"`, `"user_assertion_hash":"1"`} {
		c := parse(t, documentOf(entry{"RefreshToken", "r", `"secret":"theirs",` + field}, entry{"IdToken", "i", `"secret":"theirs","realm":"common",` + field}))
		q := tokencache.Query{HomeAccountID: anaID}
		wantRefresh(t, c, q, "")
		if _, ok := c.IDToken(q); ok {
			t.Error("the id token was found")
		}
		put(t, c, refreshed("ana@contoso.com", anaID, "mine", noon))
		wantRefresh(t, c, q, "rt-mine")
		if d := read(t, marshal(t, c)); len(d["RefreshToken"]) != 2 || len(d["IdToken"]) != 2 {
			t.Errorf("%s: what is left is %v", field, d)
		}
	}
}

func TestDroppingAccessTokensLeavesTheRest(t *testing.T) {
	c := signedIn(t)
	r := refreshed("ana@contoso.com", anaID, "files", noon)
	r.Scope = "Files.Read"
	put(t, c, r)
	before := c.Clone()
	if !c.DropAccessToken(tokencache.Query{Username: ana.Username, Scopes: []string{"Mail.Read"}}) {
		t.Error("nothing was dropped")
	}
	if c.DropAccessToken(tokencache.Query{Username: ana.Username, Scopes: []string{"Mail.Read"}}) {
		t.Error("it was dropped twice")
	}
	wantAccess(t, c, ana, "at-files")
	wantRefresh(t, c, ana, "rt-files")
	wantAccess(t, c, bo, "at-bo")
	if _, ok := c.Account(ana); !ok || !before.DropAccessToken(tokencache.Query{Username: ana.Username, Scopes: []string{"Mail.Read"}}) {
		t.Error("the account went, or the clone changed")
	}
}

func TestRemovingAUserLeavesTheOthers(t *testing.T) {
	for _, q := range []tokencache.Query{ana, {HomeAccountID: anaID}, {Username: "ANA@contoso.com", Scopes: []string{"Unheard.Of"}}} {
		c := signedIn(t)
		second := answer("ana@contoso.com", anaID, "b", noon)
		second.ClientID = clientB
		put(t, c, second)
		put(t, c, tokencache.TokenResponse{AccessToken: "at-app", ClientID: clientA, ExpiresIn: 60, Sent: noon})
		if !c.Remove(q) || c.Remove(q) {
			t.Errorf("%+v: not removed exactly once", q)
		}
		if s := marshal(t, c); strings.Contains(s, anaID) || strings.Contains(s, "ana@") || strings.Contains(s, "at-b\"") {
			t.Errorf("of the user remains %s", s)
		}
		wantAccess(t, c, bo, "at-bo")
		wantAccess(t, c, tokencache.Query{}, "at-bo")
		wantAccess(t, c, tokencache.Query{App: true}, "at-app")
		if !c.Remove(tokencache.Query{App: true}) || c.Remove(tokencache.Query{App: true}) {
			t.Error("the application's token: not removed exactly once")
		}
		wantRefresh(t, c, bo, "rt-bo")
	}
}

func TestAccountsStandInTheOrderOfTheirNames(t *testing.T) {
	c := tokencache.New()
	for i, name := range []string{"zoe@contoso.com", "ana@contoso.com", "bo@contoso.com"} {
		put(t, c, answer(name, fmt.Sprintf("u%d.t", i), "x", noon))
	}
	var names []string
	for _, a := range c.Accounts() {
		names = append(names, a.Username)
	}
	if !slices.IsSorted(names) || len(names) != 3 {
		t.Errorf("got %q", names)
	}
}

func TestTheListOfSplitScopesIsTheCallersOwn(t *testing.T) {
	for _, given := range [][]string{{"User.Read", "Mail.Read"}, {"User.Read Mail.Read"}} {
		first := given[0]
		split := tokencache.SplitScopes(given...)
		split[0] = "changed"
		if given[0] != first {
			t.Errorf("a change of the list changed %q", first)
		}
	}
}

func TestGraphHasSeveralNamesInACloud(t *testing.T) {
	const us, china = "login.microsoftonline.us", "login.chinacloudapi.cn"
	for _, x := range []struct {
		sentence, environment, target, want string
		found                               bool
	}{
		{"Graph's application ID", cloud, "00000003-0000-0000-c000-000000000000/User.Read", "User.Read", true},
		{"Graph's application ID in capital letters, wanted", cloud, "https://graph.microsoft.com/User.Read", "00000003-0000-0000-C000-000000000000/User.Read", true},
		{"a doubled slash", cloud, "https://graph.microsoft.com//User.Read", "User.Read", true},
		{"a doubled slash, wanted", cloud, "User.Read", "https://graph.microsoft.com//User.Read", true},
		{"the American cloud's Graph", us, "https://graph.microsoft.us/User.Read", "User.Read", true},
		{"the American cloud's Graph under an alias of the cloud", "LOGIN.usgovcloudapi.net", "https://graph.microsoft.us//User.Read", "User.Read", true},
		{"the Department of Defense's Graph", us, "https://dod-graph.microsoft.us/User.Read", "User.Read", true},
		{"the Chinese cloud's Graph", china, "https://microsoftgraph.chinacloudapi.cn/User.Read", "User.Read", true},
		{"Graph's application ID in the Chinese cloud", china, "00000003-0000-0000-c000-000000000000/.default", "https://microsoftgraph.chinacloudapi.cn/.default", true},
		{"the German cloud's Graph", "login.microsoftonline.de", "User.Read", "https://graph.microsoft.de/User.Read", true},
		{"the two American Graphs are two", us, "https://graph.microsoft.us/User.Read", "https://dod-graph.microsoft.us/User.Read", false},
		{"another cloud's Graph is none", us, "https://graph.microsoft.com/User.Read", "User.Read", false},
		{"another cloud's Graph is none, wanted", cloud, "User.Read", "https://graph.microsoft.us/User.Read", false},
		{"another resource's ID", cloud, "00000002-0000-0000-c000-000000000000/User.Read", "User.Read", false},
		{"another resource's doubled slash is part of its name", cloud, "https://storage.azure.com//.default", "https://storage.azure.com/.default", false},
		{"several in one text", cloud, "User.Read Mail.Read", "Mail.Read, User.Read", true},
		{"several in one text, and one is missing", cloud, "User.Read Mail.Read", "Mail.Read Files.Read", false},
		{"a blank text", cloud, "User.Read", "  ", true},
		{"several in one text of another writer", cloud, "User.Read,Mail.Read", "Mail.Read", true},
	} {
		t.Run(x.sentence, func(t *testing.T) {
			c := parse(t, documentOf(entry{"AccessToken", "k", fmt.Sprintf(`"environment":%q,"secret":"s","realm":"common","target":%q`, x.environment, x.target)}))
			q := tokencache.Query{HomeAccountID: anaID, Scopes: []string{x.want}}
			if _, ok := c.AccessToken(q); ok != x.found {
				t.Errorf("found: %v", ok)
			}
			if c.DropAccessToken(q) != x.found {
				t.Error("DropAccessToken says otherwise")
			}
			// A token for what is found takes the found one's place.
			r := refreshed("ana@contoso.com", anaID, "new", noon)
			r.Environment, r.Scope = x.environment, x.want
			c = parse(t, documentOf(entry{"AccessToken", "k", fmt.Sprintf(`"environment":%q,"secret":"s","realm":"common","target":%q,"expires_on":"9999999999"`, x.environment, x.target)}))
			put(t, c, r)
			if _, ok := c.AccessToken(q); !ok && strings.TrimSpace(x.want) != "" {
				t.Error("the token that came is not found")
			}
		})
	}
}

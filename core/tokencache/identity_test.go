package tokencache_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// entry is one entry of a section in the making.
type entry struct{ section, key, fields string }

// documentOf is a document of entries; their fields come after ana's identity.
func documentOf(entries ...entry) string {
	sections := make(map[string][]string)
	for _, e := range entries {
		e.fields = fmt.Sprintf(`"home_account_id":%q,`, anaID) + e.fields
		if !strings.Contains(e.fields, `"environment"`) {
			e.fields = fmt.Sprintf(`"environment":%q,`, cloud) + e.fields
		}
		if !strings.Contains(e.fields, `"client_id"`) && e.section != "Account" {
			e.fields = fmt.Sprintf(`"client_id":%q,`, clientA) + e.fields
		}
		sections[e.section] = append(sections[e.section], fmt.Sprintf("%q:{%s}", e.key, e.fields))
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		all = append(all, fmt.Sprintf("%q:{%s}", name, strings.Join(sections[name], ",")))
	}
	return "{" + strings.Join(all, ",") + "}"
}

// pythonWrote and goWrote are a refresh's tokens under the keys and with the
// fields that MSAL Python (token_cache.py) and MSAL Go (storage/items.go) give them.
func pythonWrote(name string, at int64) []entry {
	return []entry{
		{"AccessToken", anaID + "-" + cloud + "-accesstoken-" + clientA + "-common-mail.read user.read",
			fmt.Sprintf(`"credential_type":"AccessToken","secret":"at-%s","target":"Mail.Read User.Read","realm":"common","token_type":"Bearer","cached_at":"%d","expires_on":"%d","extended_expires_on":"%d"`, name, at, at+3600, at+3600)},
		{"RefreshToken", anaID + "-" + cloud + "-refreshtoken-" + clientA + "--mail.read user.read",
			fmt.Sprintf(`"credential_type":"RefreshToken","secret":"rt-%s","target":"Mail.Read User.Read","last_modification_time":"%d"`, name, at)},
		{"IdToken", anaID + "-" + cloud + "-idtoken-" + clientA + "-common-",
			fmt.Sprintf(`"credential_type":"IdToken","secret":%q,"realm":"common"`, idToken(fmt.Sprintf(`{"name":%q,"iat":%d}`, name, at)))},
	}
}

func goWrote(name string, at int64) []entry {
	return []entry{
		{"AccessToken", anaID + "-" + cloud + "-accesstoken-" + clientA + "-common-user.read mail.read openid",
			fmt.Sprintf(`"credential_type":"AccessToken","secret":"at-%s","target":"User.Read Mail.Read openid","realm":"common","token_type":"Bearer","cached_at":"%d","expires_on":"%d","extended_expires_on":"%d"`, name, at, at+3600, at+3600)},
		{"RefreshToken", anaID + "-" + cloud + "-refreshtoken-" + clientA,
			fmt.Sprintf(`"credential_type":"RefreshToken","secret":"rt-%s"`, name)},
		{"IdToken", anaID + "-" + cloud + "-idtoken-" + clientA + "-common",
			fmt.Sprintf(`"credential_type":"IdToken","secret":%q,"realm":"common"`, idToken(fmt.Sprintf(`{"name":%q,"iat":%d}`, name, at)))},
	}
}

var anasAccount = entry{"Account", anaID + "-" + cloud + "-common", `"realm":"common","username":"ana@contoso.com","authority_type":"MSSTS"`}

func TestOfTwoLibrariesTokensTheNewerRemain(t *testing.T) {
	for _, c := range []struct {
		sentence       string
		python, golang int64
		want           string
	}{
		{"MSAL Go refreshed what MSAL Python had got", 1000, 2000, "go"},
		{"MSAL Python refreshed what MSAL Go had got", 2000, 1000, "python"},
		{"one second was between them, MSAL Go being the later", 1000, 1001, "go"},
		{"one second was between them, MSAL Python being the later", 1001, 1000, "python"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			document := documentOf(slices.Concat([]entry{anasAccount}, pythonWrote("python", c.python), goWrote("go", c.golang))...)
			cache := parse(t, document)
			wantAccess(t, cache, ana, "at-"+c.want)
			wantRefresh(t, cache, ana, "rt-"+c.want)
			d := read(t, marshal(t, cache))
			for _, section := range []string{"AccessToken", "RefreshToken", "IdToken"} {
				if secret := d.only(t, section)["secret"].(string); secret != "at-"+c.want && secret != "rt-"+c.want &&
					secret != idToken(fmt.Sprintf(`{"name":%q,"iat":%d}`, c.want, max(c.python, c.golang))) {
					t.Errorf("%s is %s", section, secret)
				}
			}
			// The next token takes the place of either.
			put(t, cache, refreshed("ana@contoso.com", anaID, "next", time.Unix(3000, 0)))
			wantRefresh(t, parse(t, marshal(t, cache)), ana, "rt-next")
			read(t, marshal(t, cache)).only(t, "RefreshToken")
		})
	}
}

func TestEntriesOfOneIdentityAreOne(t *testing.T) {
	rt := func(key, fields string) entry { return entry{"RefreshToken", key, fields} }
	at := func(key, fields string) entry { return entry{"AccessToken", key, fields} }
	for _, c := range []struct {
		sentence string
		entries  []entry
		want     []string // secrets that remain
	}{
		{"the hosts of one cloud are one", []entry{
			rt("1", `"secret":"old","environment":"login.windows.net","last_modification_time":"1"`),
			rt("2", `"secret":"new","environment":"LOGIN.microsoftonline.com","last_modification_time":"2"`),
			rt("3", `"secret":"older","environment":"sts.windows.net","last_modification_time":"0"`)},
			[]string{"new"}},
		{"clouds are apart", []entry{
			rt("1", `"secret":"public","last_modification_time":"1"`),
			rt("2", `"secret":"china","environment":"login.partner.microsoftonline.cn","last_modification_time":"2"`),
			rt("3", `"secret":"us","environment":"login.microsoftonline.us","last_modification_time":"2"`),
			rt("4", `"secret":"legacy us","environment":"login-us.microsoftonline.com","last_modification_time":"2"`)},
			[]string{"china", "legacy us", "public", "us"}},
		{"clients are apart", []entry{
			rt("1", `"secret":"a","client_id":"`+clientA+`"`), rt("2", `"secret":"b","client_id":"`+clientB+`"`)},
			[]string{"a", "b"}},
		{"a client's name may be in upper case", []entry{
			rt("1", `"secret":"new","client_id":"ABC","last_modification_time":"2"`), rt("2", `"secret":"old","client_id":"abc","last_modification_time":"1"`)},
			[]string{"new"}},
		{"a family has one refresh token", []entry{
			rt("1", `"secret":"old","client_id":"`+clientA+`","family_id":"1","last_modification_time":"1"`),
			rt("2", `"secret":"new","client_id":"`+clientB+`","family_id":"1","last_modification_time":"2"`)},
			[]string{"new"}},
		{"families are apart", []entry{
			rt("1", `"secret":"one","client_id":"`+clientA+`","family_id":"1"`), rt("2", `"secret":"two","client_id":"`+clientB+`","family_id":"2"`)},
			[]string{"one", "two"}},
		{"a client's own token stays beside its family's, which is newer", []entry{
			rt("1", `"secret":"own","last_modification_time":"1"`), rt("2", `"secret":"family","family_id":"1","last_modification_time":"2"`)},
			[]string{"family", "own"}},
		{"a family's token stays beside its client's own, which is newer", []entry{
			rt("1", `"secret":"own","last_modification_time":"2"`), rt("2", `"secret":"family","family_id":"1","last_modification_time":"1"`)},
			[]string{"family", "own"}},
		{"neither of a family's token and its client's own is lost in a tie", []entry{
			rt("1", `"secret":"family","family_id":"1"`), rt("2", `"secret":"own"`)},
			[]string{"family", "own"}},
		{"a client's own token stays beside another's family", []entry{
			rt("1", `"secret":"own","last_modification_time":"1"`), rt("2", `"secret":"family","client_id":"`+clientB+`","family_id":"1","last_modification_time":"2"`)},
			[]string{"family", "own"}},
		{"tokens on behalf of different callers are apart", []entry{
			rt("1", `"secret":"a","user_assertion_hash":"A"`), rt("2", `"secret":"b","user_assertion_hash":"B"`), rt("3", `"secret":"c"`)},
			[]string{"a", "b", "c"}},
		{"tenants have access tokens of their own", []entry{
			at("1", `"secret":"a","realm":"common"`), at("2", `"secret":"b","realm":"contoso.com"`)},
			[]string{"a", "b"}},
		{"scopes are a set, and Graph's may be written out", []entry{
			at("1", `"secret":"old","target":"User.Read Mail.Read openid","cached_at":"1"`),
			at("2", `"secret":"new","target":"https://graph.microsoft.com/mail.read user.read User.Read profile","cached_at":"2"`)},
			[]string{"new"}},
		{"other scopes are another token", []entry{
			at("1", `"secret":"a","target":"User.Read"`), at("2", `"secret":"b","target":"User.Read Mail.Read"`),
			at("3", `"secret":"c","target":"https://vault.azure.net/User.Read"`)},
			[]string{"a", "b", "c"}},
		{"no token type means Bearer", []entry{
			at("1", `"secret":"old","cached_at":"1"`), at("2", `"secret":"new","token_type":"bearer","cached_at":"2"`)},
			[]string{"new"}},
		{"tokens bound to keys are apart, whoever wrote them", []entry{
			at("1", `"secret":"a","token_type":"pop","key_id":"1"`), at("2", `"secret":"b","token_type":"pop","keyid":"2"`),
			at("3", `"secret":"c","token_type":"pop","kid":"3"`)},
			[]string{"a", "b", "c"}},
		{"tokens on behalf of different callers are apart in MSAL Node's words", []entry{
			rt("1", `"secret":"a","userAssertionHash":"A"`), rt("2", `"secret":"b","userAssertionHash":"B"`), rt("3", `"secret":"c","userAssertionHash":null`)},
			[]string{"a", "b", "c"}},
		{"tokens for different claims are apart", []entry{
			at("1", `"secret":"a","requestedClaimsHash":"A"`), at("2", `"secret":"b","requestedClaimsHash":"B"`), at("3", `"secret":"c"`)},
			[]string{"a", "b", "c"}},
		{"MSAL Java's extended tokens are apart", []entry{
			at("1", `"secret":"a","credential_type":"AText","ext_cache_key_hash":"A"`), at("2", `"secret":"b","credential_type":"AText","ext_cache_key_hash":"B"`),
			at("3", `"secret":"c","credential_type":"AText"`), at("4", `"secret":"d","credential_type":"AccessToken"`)},
			[]string{"a", "b", "c", "d"}},
		{"MSAL Node's tokens for more than scopes are apart", []entry{
			at("1", `"secret":"a","additionalCacheKeyComponents":{"fmi_path":"A"}`), at("2", `"secret":"b","additionalCacheKeyComponents":{"fmi_path":"B"}`),
			at("3", `"secret":"c","additionalCacheKeyComponents":{}`)},
			[]string{"a", "b", "c"}},
		{"MSAL Go's tokens for more than scopes are apart", []entry{
			at("1", `"secret":"a"`), at("2", `"secret":"b","ext_cache_key":"B"`), at("3", `"secret":"c","ext_cache_key":"C"`)},
			[]string{"a", "b", "c"}},
		{"of two written at once the one that lasts longer remains", []entry{
			at("1", `"secret":"long","cached_at":"1","expires_on":"100"`), at("2", `"secret":"short","cached_at":"1","expires_on":"99"`)},
			[]string{"long"}},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			for range 3 { // in whatever order maps are walked
				cache := parse(t, documentOf(c.entries...))
				var got []string
				for _, entries := range read(t, marshal(t, cache)) {
					for _, e := range entries {
						got = append(got, e["secret"].(string))
					}
				}
				if slices.Sort(got); !slices.Equal(got, c.want) {
					t.Errorf("what remains is %q, want %q", got, c.want)
				}
			}
		})
	}
}

func TestTwoWritersOfAnAccountMakeOneUser(t *testing.T) {
	c := parse(t, documentOf(
		entry{"Account", "Python's", `"realm":"common","username":""`},
		entry{"Account", "Go's", `"realm":"common","username":"ana@contoso.com"`},
		entry{"Account", "at home", `"realm":"` + tenant + `","username":"ana@contoso.com"`}))
	if got := c.Accounts(); len(got) != 2 || got[0].Username != "ana@contoso.com" || got[1].Realm != "common" {
		t.Errorf("got %+v", got)
	}
	if c.Ambiguous(tokencache.Query{}) {
		t.Error("one user in two tenants is two users")
	}
}

// A daemon for many tenants, and a web API on behalf of many callers, have
// thousands of entries in one group.
func TestThousandsOfEntriesOfOneUserTakeLittleTime(t *testing.T) {
	const n = 5000
	app := tokencache.New()
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"at-%d":{"environment":"login.microsoftonline.com","client_id":"c","realm":"tenant-%d","target":".default","secret":"s%d","cached_at":"%d","expires_on":"9"}`, i, i, i, i)
	}
	app.Replace(parse(t, `{"AccessToken":{`+b.String()[1:]+`}}`))
	b.Reset()
	for i := range n {
		fmt.Fprintf(&b, `,"rt-%d":{"home_account_id":"h","client_id":"c","user_assertion_hash":"%d","secret":"s"}`, i, i)
	}
	began := time.Now()
	obo := parse(t, `{"RefreshToken":{`+b.String()[1:]+`}}`)
	mine, theirs := app.Clone(), app.Clone()
	for i, c := range []*tokencache.Cache{mine, theirs} {
		put(t, c, tokencache.TokenResponse{AccessToken: "new", ClientID: "c", Tenant: fmt.Sprintf("tenant-%d", i), Scope: ".default", ExpiresIn: 9, Sent: noon})
	}
	merged := tokencache.Merge(app, mine, theirs)
	for i := range 2 {
		wantAccess(t, merged, tokencache.Query{App: true, Tenant: fmt.Sprintf("tenant-%d", i)}, "new")
	}
	if d := read(t, marshal(t, merged)); len(d["AccessToken"]) != n {
		t.Errorf("%d tokens are left of %d", len(d["AccessToken"]), n)
	}
	if d := read(t, marshal(t, obo)); len(d["RefreshToken"]) != n {
		t.Errorf("%d refresh tokens are left of %d", len(d["RefreshToken"]), n)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
}

func TestOfAFamilysTokenAndItsMembersOwnTheLaterIsSpent(t *testing.T) {
	own := func(more string) entry { return entry{"RefreshToken", "own", `"secret":"own"` + more} }
	family := func(more string) entry {
		return entry{"RefreshToken", "family", `"secret":"family","family_id":"1"` + more}
	}
	member := entry{"AppMetadata", "app", `"family_id":"1"`}
	for _, c := range []struct {
		sentence string
		entries  []entry
		want     string
	}{
		{"in a tie the family's is", []entry{own(""), family("")}, "family"},
		{"the family's is, which is later", []entry{own(`,"last_modification_time":"1"`), family(`,"last_modification_time":"2"`)}, "family"},
		{"the client's is, which is later", []entry{own(`,"last_modification_time":"2"`), family(`,"last_modification_time":"1"`)}, "own"},
		{"the family's is, which another member brought", []entry{own(""), family(`,"client_id":"` + clientB + `"`), member}, "family"},
		{"the client's is, which is later than another member's", []entry{own(`,"last_modification_time":"2"`), family(`,"last_modification_time":"1","client_id":"` + clientB + `"`), member}, "own"},
		{"the client's is, which is no member", []entry{own(`,"last_modification_time":"1"`), family(`,"last_modification_time":"2","client_id":"` + clientB + `"`)}, "own"},
		{"the client's is, which is a member of another family", []entry{own(""), family(`,"client_id":"` + clientB + `"`), {"AppMetadata", "app", `"family_id":"2"`}}, "own"},
	} {
		cache := parse(t, documentOf(c.entries...))
		if rt, _ := cache.RefreshToken(tokencache.Query{ClientID: clientA}); rt.Secret != tokencache.Secret(c.want) {
			t.Errorf("%s: got %q", c.sentence, rt.Secret.Reveal())
		}
	}
}

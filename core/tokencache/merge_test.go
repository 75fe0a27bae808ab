package tokencache_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// change is what one side does to a cache.
type change = func(t testing.TB, c *tokencache.Cache)

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

func refreshes(name string, seconds int) change {
	return func(t testing.TB, c *tokencache.Cache) {
		put(t, c, refreshed("ana@contoso.com", anaID, name, at(seconds)))
	}
}

func signsIn(name string, seconds int) change {
	return func(t testing.TB, c *tokencache.Cache) {
		put(t, c, answer("ana@contoso.com", anaID, name, at(seconds)))
	}
}

func signsOut(_ testing.TB, c *tokencache.Cache) { c.Remove(ana) }

func nothing(testing.TB, *tokencache.Cache) {}

func both(a, b change) change {
	return func(t testing.TB, c *tokencache.Cache) {
		a(t, c)
		b(t, c)
	}
}

// asMSALGo makes a refresh as MSAL Go leaves it: no stamp at the refresh token.
func asMSALGo(name string, seconds int) change {
	return func(t testing.TB, c *tokencache.Cache) {
		before := c.Clone()
		before.Remove(ana)
		before.Replace(parse(t, documentOf(append(goWrote(name, at(seconds).Unix()), anasAccount)...)))
		put(t, before, answer("bo@contoso.com", boID, "bo", noon))
		c.Replace(before)
	}
}

// asMSALSignsOut leaves another client's refresh token behind.
func asMSALSignsOut(t testing.TB, c *tokencache.Cache) {
	c.Remove(ana)
	left := documentOf(entry{"RefreshToken", "left", `"client_id":"` + clientB + `","secret":"rt-left"`})
	c.Replace(tokencache.Merge(tokencache.New(), parse(t, left), c))
}

func TestMergeDecidesEachConflict(t *testing.T) {
	for _, c := range []struct {
		sentence        string
		mine, theirs    change
		access, refresh string
	}{
		{"nobody changed anything", nothing, nothing, "at-ana", "rt-ana"},
		{"what I alone refreshed counts", refreshes("mine", 9), nothing, "at-mine", "rt-mine"},
		{"what they alone refreshed counts", nothing, refreshes("theirs", 9), "at-theirs", "rt-theirs"},
		{"my sign-out counts", signsOut, nothing, "", ""},
		{"their sign-out counts", nothing, signsOut, "", ""},
		{"both signed out", signsOut, signsOut, "", ""},
		{"of two refreshes my newer one wins", refreshes("mine", 9), refreshes("theirs", 8), "at-mine", "rt-mine"},
		{"of two refreshes their newer one wins", refreshes("mine", 8), refreshes("theirs", 9), "at-theirs", "rt-theirs"},
		{"of two refreshes at once the stored one wins", refreshes("mine", 9), refreshes("theirs", 9), "at-theirs", "rt-theirs"},
		{"my refresh is newer than one of MSAL Go", refreshes("mine", 9), asMSALGo("theirs", 8), "at-mine", "rt-mine"},
		{"MSAL Go's refresh is newer than mine", refreshes("mine", 8), asMSALGo("theirs", 9), "at-theirs", "rt-theirs"},
		{"my refresh by MSAL Go is newer", asMSALGo("mine", 9), refreshes("theirs", 8), "at-mine", "rt-mine"},
		{"two refreshes by MSAL Go at once", asMSALGo("mine", 9), asMSALGo("theirs", 9), "at-theirs", "rt-theirs"},
		{"my sign-out wins over their refresh", signsOut, refreshes("theirs", 9), "", ""},
		{"their sign-out wins over my refresh", refreshes("mine", 9), signsOut, "", ""},
		{"their new sign-in wins over my sign-out", signsOut, signsIn("theirs", 9), "at-theirs", "rt-theirs"},
		{"my new sign-in wins over their sign-out", signsIn("mine", 9), signsOut, "at-mine", "rt-mine"},
		{"my sign-out and new sign-in win over their refresh", both(signsOut, signsIn("mine", 9)), refreshes("theirs", 8), "at-mine", "rt-mine"},
		{"their sign-out and new sign-in win over my sign-out", signsOut, both(signsOut, signsIn("theirs", 9)), "at-theirs", "rt-theirs"},
		{"their refresh after a new sign-in wins over my sign-out", signsOut, both(signsIn("theirs", 8), refreshes("theirs 2", 9)), "at-theirs 2", "rt-theirs 2"},
		{"my refresh against a user that MSAL signed out", refreshes("mine", 9), asMSALSignsOut, "", ""},
		{"MSAL's sign-out against their refresh", asMSALSignsOut, refreshes("theirs", 9), "", ""},
		{"a dropped access token, and their refresh", func(_ testing.TB, c *tokencache.Cache) { c.DropAccessToken(ana) }, refreshes("theirs", 9), "at-theirs", "rt-theirs"},
		{"my refresh, and their dropped access token", refreshes("mine", 9), func(_ testing.TB, c *tokencache.Cache) { c.DropAccessToken(ana) }, "at-mine", "rt-mine"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			base := signedIn(t)
			mine, theirs := base.Clone(), base.Clone()
			c.mine(t, mine)
			c.theirs(t, theirs)
			for _, theirs := range []*tokencache.Cache{theirs, parse(t, marshal(t, theirs))} { // stored, it was parsed
				got := merge(t, base, mine, theirs)
				q := tokencache.Query{Username: ana.Username, ClientID: clientA}
				wantAccess(t, got, q, c.access)
				wantRefresh(t, got, q, c.refresh)
				wantRefresh(t, got, bo, "rt-bo")
				if _, ok := got.Account(ana); ok != (c.access != "") {
					t.Errorf("an account is there: %v", ok)
				}
				if c.access == "" {
					wantRefresh(t, got, tokencache.Query{HomeAccountID: anaID, ClientID: clientA}, "")
				}
			}
		})
	}
}

// merge merges, and checks that it changed none of its arguments.
func merge(t testing.TB, base, mine, theirs *tokencache.Cache) *tokencache.Cache {
	t.Helper()
	before := [...]string{marshal(t, base), marshal(t, mine), marshal(t, theirs)}
	got := tokencache.Merge(base, mine, theirs)
	if after := [...]string{marshal(t, base), marshal(t, mine), marshal(t, theirs)}; after != before {
		t.Fatalf("Merge changed its arguments:\n%q\n%q", before, after)
	}
	return got
}

func TestMergeKeepsWhatEitherSideAdded(t *testing.T) {
	base := signedIn(t)
	mine, theirs := base.Clone(), base.Clone()
	put(t, mine, answer("mia@contoso.com", "m.t", "mia", at(1)))
	put(t, theirs, answer("theo@contoso.com", "t.t", "theo", at(1)))
	other := answer("ana@contoso.com", anaID, "b", at(2))
	other.ClientID = clientB
	put(t, theirs, other)
	put(t, mine, refreshed("ana@contoso.com", anaID, "mine", at(3)))
	got := merge(t, base, mine, theirs)
	for name, want := range map[string]string{"mia@contoso.com": "mia", "theo@contoso.com": "theo", "bo@contoso.com": "bo"} {
		wantRefresh(t, got, tokencache.Query{Username: name}, "rt-"+want)
	}
	wantRefresh(t, got, tokencache.Query{Username: ana.Username, ClientID: clientA}, "rt-mine")
	wantRefresh(t, got, tokencache.Query{Username: ana.Username, ClientID: clientB}, "rt-b")
}

// The records were made apart, such as one that is imported. So no session of one goes on
// with a sign-in of the other.
func TestOfTwoRecordsWithACommonUserTheNewerTokenStays(t *testing.T) {
	for _, c := range []struct {
		sentence         string
		imported, stored change
		want             string
	}{
		{"the imported one is newer, and the stored one a sign-in of ours", asMSALGo("imported", 9), signsIn("stored", 5), "imported"},
		{"the stored one is newer, and the imported one a sign-in of ours", signsIn("imported", 5), asMSALGo("stored", 9), "stored"},
		{"of two sign-ins the stored one is newer", signsIn("imported", 5), signsIn("stored", 9), "stored"},
		{"of two sign-ins the imported one is newer", signsIn("imported", 9), signsIn("stored", 5), "imported"},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			imported, stored := tokencache.New(), tokencache.New()
			c.imported(t, imported)
			c.stored(t, stored)
			got := merge(t, tokencache.New(), imported, stored)
			q := tokencache.Query{Username: ana.Username, ClientID: clientA}
			wantAccess(t, got, q, "at-"+c.want)
			wantRefresh(t, got, q, "rt-"+c.want)
		})
	}
}

func TestANilCacheMergesAsAnEmptyOne(t *testing.T) {
	c := signedIn(t)
	if got := tokencache.Merge(nil, nil, nil); marshal(t, got) != "{}" {
		t.Errorf("of nothing became %s", marshal(t, got))
	}
	for _, got := range []*tokencache.Cache{
		tokencache.Merge(nil, c, nil), tokencache.Merge(nil, nil, c), tokencache.Merge(nil, c, c),
	} {
		if marshal(t, got) != marshal(t, c) {
			t.Errorf("became %s", marshal(t, got))
		}
	}
	if got := tokencache.Merge(c, nil, c); len(got.Accounts()) != 0 {
		t.Error("all users signed out, and are there")
	}
}

func TestApplicationsTokensMergeOneByOne(t *testing.T) {
	token := func(client, secret string, seconds int) change {
		return func(t testing.TB, c *tokencache.Cache) {
			put(t, c, tokencache.TokenResponse{AccessToken: secret, ClientID: client, Tenant: "t", Scope: ".default", ExpiresIn: 60, Sent: at(seconds)})
		}
	}
	base := tokencache.New()
	token("a", "a0", 0)(t, base)
	token("b", "b0", 0)(t, base)
	mine, theirs := base.Clone(), base.Clone()
	both(token("a", "a1", 1), token("c", "c1", 1))(t, mine)
	both(token("a", "a2", 2), token("d", "d2", 2))(t, theirs)
	theirs.Remove(tokencache.Query{App: true, ClientID: "b"})
	got := merge(t, base, mine, theirs)
	for client, want := range map[string]string{"a": "a2", "b": "", "c": "c1", "d": "d2"} {
		wantAccess(t, got, tokencache.Query{App: true, ClientID: client}, want)
	}
	mine.Remove(tokencache.Query{App: true}) // no user signs out by that
	wantAccess(t, merge(t, base, mine, theirs), tokencache.Query{App: true, ClientID: "a"}, "a2")
}

func TestSectionsAndMetadataMergeOneByOne(t *testing.T) {
	for _, c := range []struct{ sentence, base, mine, theirs, want string }{
		{"I added one", `{}`, `{"X":1}`, `{}`, `{"X":1}`},
		{"they added one", `{}`, `{}`, `{"X":1}`, `{"X":1}`},
		{"each added one", `{}`, `{"X":1}`, `{"Y":1}`, `{"X":1,"Y":1}`},
		{"I removed one", `{"X":1}`, `{}`, `{"X":1}`, `{}`},
		{"they removed one", `{"X":1}`, `{"X":1}`, `{}`, `{}`},
		{"both removed one", `{"X":1}`, `{}`, `{}`, `{}`},
		{"I changed one", `{"X":1}`, `{"X":2}`, `{"X":1}`, `{"X":2}`},
		{"they changed one", `{"X":1}`, `{"X":1}`, `{"X":2}`, `{"X":2}`},
		{"both changed one: what is stored wins", `{"X":1}`, `{"X":2}`, `{"X":3}`, `{"X":3}`},
		{"both added one: what is stored wins", `{}`, `{"X":2}`, `{"X":3}`, `{"X":3}`},
		{"white space is no change", `{"X":{"a": 1}}`, `{"X":{"a":1}}`, `{"X":{"a":2}}`, `{"X":{"a":2}}`},
		{"I changed what they removed", `{"X":1}`, `{"X":2}`, `{}`, `{"X":2}`},
		{"I removed what they changed", `{"X":1}`, `{}`, `{"X":2}`, `{"X":2}`},
		{"metadata merges alike", `{"AppMetadata":{"a":{"x":1}}}`, `{"AppMetadata":{"a":{"x":1},"b":{}}}`, `{"AppMetadata":{"a":{"x":2}}}`, `{"AppMetadata":{"a":{"x":2},"b":{}}}`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			wantSame(t, marshal(t, merge(t, parse(t, c.base), parse(t, c.mine), parse(t, c.theirs))), c.want)
		})
	}
}

// world makes random caches of a few users, clients and writers.
type world struct {
	*rand.Rand
	tokens int // names that are unused
}

func (w *world) cache(t testing.TB) *tokencache.Cache {
	c := tokencache.New()
	for range w.IntN(6) {
		w.change(t, c)
	}
	return c
}

func (w *world) change(t testing.TB, c *tokencache.Cache) {
	n := w.IntN(4)
	home, name := fmt.Sprintf("u%d.t", n), fmt.Sprintf("user%d@contoso.com", n)
	q := tokencache.Query{HomeAccountID: home}
	w.tokens++
	switch token := fmt.Sprint(w.tokens); w.IntN(10) {
	case 0:
		c.Remove(q)
	case 1:
		c.DropAccessToken(q)
	case 2:
		put(t, c, tokencache.TokenResponse{AccessToken: token, ClientID: fmt.Sprint(w.IntN(3)), Scope: ".default", ExpiresIn: 60, Sent: at(w.IntN(100))})
	case 3:
		client := w.IntN(2)
		key := fmt.Sprint(home, "-refreshtoken-", client)
		odd := parse(t, fmt.Sprintf(`{"X":{%q:%q},"RefreshToken":{%q:{"home_account_id":%q,"client_id":"%d","secret":%q}}}`, key, token, key, home, client, token))
		c.Replace(tokencache.Merge(nil, odd, c))
	default:
		r := answer(name, home, token, at(w.IntN(100)))
		r.ClientID = fmt.Sprint(w.IntN(2))
		r.Scope = [...]string{"User.Read", "User.Read Mail.Read", "Files.Read"}[w.IntN(3)]
		r.Environment = [...]string{"", "login.windows.net"}[w.IntN(2)]
		if w.IntN(2) == 0 {
			r.GrantType = "refresh_token"
		}
		if w.IntN(4) == 0 {
			r.FamilyID = "1"
		}
		put(t, c, r)
	}
}

func TestMergeKeepsItsLaws(t *testing.T) {
	for seed := range uint64(150) {
		w := &world{Rand: rand.New(rand.NewPCG(seed, 14))}
		base := w.cache(t)
		mine, theirs := base.Clone(), base.Clone()
		if w.IntN(10) == 0 {
			mine, theirs = w.cache(t), w.cache(t) // of other origin
		}
		for range w.IntN(4) {
			w.change(t, mine)
		}
		for range w.IntN(4) {
			w.change(t, theirs)
		}
		law := func(name string, got, want *tokencache.Cache) {
			t.Helper()
			if g, w := marshal(t, got), marshal(t, want); g != w {
				t.Fatalf("seed %d: %s:\ngot  %s\nwant %s", seed, name, g, w)
			}
		}
		law("what they alone changed counts", merge(t, base, base, theirs), theirs)
		law("what I alone changed counts", merge(t, base, mine, base), mine)
		law("what both made alike stays", merge(t, base, mine, mine), mine)
		merged := merge(t, base, mine, theirs)
		law("merging again changes nothing", merge(t, theirs, merged, theirs), merged)
		law("what is written is what was merged", parse(t, marshal(t, merged)), merged)
		for n := range 4 { // a user whom one side didn't touch is as the other side has the user
			home := fmt.Sprintf("u%d.t", n)
			b, m, th := of(t, base, home), of(t, mine, home), of(t, theirs, home)
			if got := of(t, merged, home); b == m && got != th || b == th && got != m {
				t.Fatalf("seed %d: user %d:\nbase   %s\nmine   %s\ntheirs %s\nmerged %s", seed, n, b, m, th, got)
			}
		}
	}
}

// of is what a cache has of one user.
func of(t testing.TB, c *tokencache.Cache, home string) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"AccessToken", "RefreshToken", "IdToken", "Account"} {
		var entries map[string]map[string]any
		if data := section(t, marshal(t, c), name); data != "" {
			if err := json.Unmarshal([]byte(data), &entries); err != nil {
				t.Fatal(err)
			}
		}
		maps.DeleteFunc(entries, func(_ string, e map[string]any) bool { return e["home_account_id"] != home })
		if len(entries) > 0 {
			fmt.Fprintln(&b, name, entries)
		}
	}
	return b.String()
}

// A refresh is no sign-in, and must not bring a record back that was deleted
// meanwhile: not as metadata alone, and not as an application's token.
func TestADeletedRecordStaysDeletedBesideARefresh(t *testing.T) {
	app := func(name string, seconds int) change {
		return func(t testing.TB, c *tokencache.Cache) {
			put(t, c, tokencache.TokenResponse{AccessToken: name, ClientID: clientA, Tenant: "t", Scope: ".default", ExpiresIn: 60,
				GrantType: "client_credentials", Sent: at(seconds)})
		}
	}
	// MSAL Node and MSAL for Java write no metadata.
	withoutMetadata := func(t testing.TB, c *tokencache.Cache) {
		d := read(t, marshal(t, c))
		delete(d, "AppMetadata")
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		c.Replace(parse(t, string(data)))
	}
	for _, x := range []struct {
		sentence   string
		base, mine change
		want       string // a token of ana's, or the application's
	}{
		{"a user's refresh", signsIn("base", 0), refreshes("mine", 9), ""},
		{"a user's refresh, where there was no metadata", both(signsIn("base", 0), withoutMetadata), refreshes("mine", 9), ""},
		{"an application's refresh", app("base", 0), app("mine", 9), ""},
		{"an application's refresh for other scopes, where there was no metadata", both(app("base", 0), withoutMetadata), func(t testing.TB, c *tokencache.Cache) {
			put(t, c, tokencache.TokenResponse{AccessToken: "mine", ClientID: clientA, Tenant: "t", Scope: "https://vault.azure.net/.default", ExpiresIn: 60, Sent: at(9)})
		}, ""},
		{"a user's first sign-in", nothing, signsIn("mine", 9), "at-mine"},
		{"a user's new sign-in", signsIn("base", 0), signsIn("mine", 9), "at-mine"},
		{"an application's first sign-in", nothing, app("mine", 9), "mine"},
	} {
		t.Run(x.sentence, func(t *testing.T) {
			base := tokencache.New()
			x.base(t, base)
			mine := base.Clone()
			x.mine(t, mine)
			for _, deleted := range []*tokencache.Cache{nil, tokencache.New(), parse(t, "{}")} {
				got := tokencache.Merge(base, mine, deleted)
				if x.want == "" {
					if s := marshal(t, got); s != "{}" {
						t.Errorf("what came back is %s", s)
					}
					continue
				}
				at, ok := got.AccessToken(ana)
				if !ok {
					at, _ = got.AccessToken(tokencache.Query{App: true})
				}
				if at.Secret.Reveal() != x.want || len(read(t, marshal(t, got))["AppMetadata"]) != 1 {
					t.Errorf("what is left is %s", marshal(t, got))
				}
			}
		})
	}
}

func TestASignInIsToldFromARefresh(t *testing.T) {
	// MSAL for Java takes our stamps and account_source away.
	stripped := func(t testing.TB, c *tokencache.Cache) { c.Replace(peers[3].refreshes(t, c, "java", at(0))) }
	for _, x := range []struct {
		sentence           string
		base, mine, theirs change
		access             string
	}{
		{"a new sign-in in the second of the first", signsIn("base", 0), func(t testing.TB, c *tokencache.Cache) {
			put(t, c, answer("ana@contoso.com", anaID, "mine", at(0).Add(time.Millisecond)))
		}, signsOut, "at-mine"},
		{"a new sign-in after the clock went back", signsIn("base", 100), both(signsOut, signsIn("mine", 50)), signsOut, "at-mine"},
		{"a new sign-in where the stamps were taken away", both(signsIn("base", 0), stripped), signsIn("mine", 9), signsOut, "at-mine"},
		{"a refresh where the stamps were taken away", both(signsIn("base", 0), stripped), refreshes("mine", 9), signsOut, ""},
		{"a refresh that takes the stamps away", signsIn("base", 0), signsOut, stripped, ""},
		{"a refresh that takes the stamps away beside a sign-in", signsIn("base", 0), both(signsOut, signsIn("mine", 9)), stripped, "at-mine"},
	} {
		t.Run(x.sentence, func(t *testing.T) {
			base := tokencache.New()
			x.base(t, base)
			mine, theirs := base.Clone(), base.Clone()
			x.mine(t, mine)
			x.theirs(t, theirs)
			for _, got := range []*tokencache.Cache{merge(t, base, mine, theirs), merge(t, base, theirs, mine)} {
				wantAccess(t, got, ana, x.access)
			}
		})
	}
}

// writings are documents of few identities in few keys, as several libraries and
// people might leave them.
type writings struct{ *rand.Rand }

func (w writings) of(choices ...string) string { return choices[w.IntN(len(choices))] }

func (w writings) entry(section string) string {
	var members []string
	add := func(name, value string) {
		members = append(members, fmt.Sprintf("%q:%s%s", name, w.of("", " "), value))
	}
	add("home_account_id", w.of(`"u0.t"`, `"u0.t"`, `"U0.T"`, `"u1.t"`, `"u2.t"`, `null`, `""`))
	add("environment", w.of(`"login.microsoftonline.com"`, `"login.windows.net"`, `"LOGIN.windows.net"`, `"idp.example.com"`))
	if w.IntN(5) > 0 {
		add("client_id", w.of(`"0"`, `"1"`, `"c"`, `"C"`))
	}
	stamp := func(from int) string {
		return strings.ReplaceAll(w.of(`"N"`, `N`, `null`, `"x"`), "N", fmt.Sprint(from+w.IntN(5)))
	}
	secret := func(prefix string) { add("secret", fmt.Sprintf("%q", fmt.Sprint(prefix, w.IntN(100)))) }
	switch section {
	case "AccessToken":
		secret("at")
		add("realm", w.of(`"common"`, `"t"`, `"T"`))
		add("target", w.of(`"a"`, `"a b"`, `"b,a"`, `"openid a"`, `""`, `"https://graph.microsoft.com//a"`))
		add("cached_at", stamp(1000))
		add("expires_on", stamp(2000))
		if w.IntN(4) == 0 {
			members = append(members, w.of(`"token_type":"Bearer"`, `"token_type":"pop"`, `"user_assertion_hash":"h"`, `"key_id":"k"`, `"additionalCacheKeyComponents":{"a":1}`))
		}
	case "RefreshToken":
		secret("rt")
		add("last_modification_time", stamp(1000))
		add("family_id", w.of(`"1"`, `"2"`, `""`, `null`))
		add("target", w.of(`"a"`, `"b"`))
	case "IdToken":
		add("secret", w.of(`"e30.eyJpYXQiOjF9.e30"`, `"e30.eyJpYXQiOjJ9.e30"`, `"x"`))
		add("realm", w.of(`"common"`, `"t"`))
	case "Account":
		add("realm", w.of(`"common"`, `"t"`))
		add("username", w.of(`"ana"`, `"Ana"`, `"bo"`, `null`))
		add("last_modification_time", stamp(1000))
	}
	if w.IntN(4) == 0 {
		add("unknown", w.of("1", `{"x":null}`, `"é"`))
	}
	return "{" + strings.Join(members, w.of(",", ", ", ",\n")) + "}"
}

func (w writings) document() string {
	var sections []string
	for _, name := range []string{"AccessToken", "Account", "IdToken", "RefreshToken", "AppMetadata"} {
		entries := map[string]string{}
		for range w.IntN(5) {
			entries[w.of("k1", "k2", "k3", "k1-1", "k1-1-1", "K1")] = w.of(w.entry(name), w.entry(name), w.entry(name), "null")
		}
		var all []string
		for _, key := range slices.Sorted(maps.Keys(entries)) {
			all = append(all, fmt.Sprintf("%q:%s", key, entries[key]))
		}
		sections = append(sections, fmt.Sprintf("%q:{%s}", name, strings.Join(all, ",")))
	}
	sections = append(sections, `"other":`+w.of("null", "1", `{"a":[1]}`))
	return "{" + strings.Join(sections, ",") + "}"
}

func TestMergeKeepsItsLawsForRandomRecords(t *testing.T) {
	for seed := range uint64(1500) {
		w := writings{rand.New(rand.NewPCG(seed, 26))}
		changes := &world{Rand: w.Rand}
		base := parse(t, w.document())
		changed := func() *tokencache.Cache {
			c := base.Clone()
			for range 1 + w.IntN(3) {
				if w.IntN(5) == 0 {
					c = tokencache.Merge(c, parse(t, w.document()), c)
				} else {
					changes.change(t, c)
				}
			}
			return c
		}
		mine, theirs := changed(), changed()
		law := func(name string, got, want *tokencache.Cache) {
			t.Helper()
			if g, w := marshal(t, got), marshal(t, want); g != w {
				t.Fatalf("seed %d: %s:\ngot  %s\nwant %s", seed, name, g, w)
			}
		}
		for _, c := range []*tokencache.Cache{base, mine, theirs} {
			law("what is written is what was there", parse(t, marshal(t, c)), c)
		}
		law("what I alone changed counts", merge(t, base, mine, base), mine)
		law("what they alone changed counts", merge(t, base, base, theirs), theirs)
		law("what both made alike stays", merge(t, base, mine, mine), mine)
		merged := merge(t, base, mine, theirs)
		law("what is written is what was merged", parse(t, marshal(t, merged)), merged)
		law("merging twice is merging once", merge(t, base, mine, merged), merged)
		law("what was merged is a change of theirs", merge(t, theirs, merged, theirs), merged)
	}
}

// A refresh of the session before, whose request was sent later, crosses with a new
// sign-in.
func TestANewSignInsRefreshTokenWinsOverARefreshOfTheSessionBefore(t *testing.T) {
	at := func(seconds int, token, grant string) tokencache.TokenResponse {
		return tokencache.TokenResponse{
			AccessToken: "a-" + token, RefreshToken: token, Scope: "User.Read", ExpiresIn: 3600, ClientID: "c", Tenant: "t",
			HomeAccountID: "u.t", GrantType: grant, Sent: time.Unix(1_800_000_000+int64(seconds), 0),
		}
	}
	after := func(c *tokencache.Cache, r tokencache.TokenResponse) *tokencache.Cache {
		c = c.Clone()
		if err := c.Put(r); err != nil {
			t.Fatal(err)
		}
		return c
	}
	base := after(tokencache.New(), at(0, "first", "authorization_code"))
	signedIn := after(base, at(10, "second", "authorization_code"))
	refreshed := after(base, at(20, "crossing", "refresh_token"))
	for name, row := range map[string]struct {
		mine, theirs *tokencache.Cache
		want         string
	}{
		"that others stored":              {refreshed, signedIn, "second"},
		"of this process":                 {signedIn, refreshed, "second"},
		"and a refresh of it":             {refreshed, after(signedIn, at(30, "third", "refresh_token")), "third"},
		"but not over a refresh of it":    {after(signedIn, at(30, "third", "refresh_token")), signedIn, "third"},
		"nor over another, later sign-in": {signedIn, after(base, at(30, "fourth", "device_code")), "fourth"},
	} {
		t.Run(name, func(t *testing.T) {
			rt, _ := tokencache.Merge(base, row.mine, row.theirs).RefreshToken(tokencache.Query{HomeAccountID: "u.t"})
			if rt.Secret.Reveal() != row.want {
				t.Errorf("%q is left, want %q", rt.Secret.Reveal(), row.want)
			}
		})
	}
}

// A save whose answer was lost is merged again, with what it stored itself.
func TestMergingAgainChangesNothing(t *testing.T) {
	session := func(name string, signedIn, refreshedAt int) change {
		return func(t testing.TB, c *tokencache.Cache) {
			signsIn(name, signedIn)(t, c)
			r := refreshed("ana@contoso.com", anaID, name+" of B", at(refreshedAt))
			r.ClientID = clientB
			put(t, c, r)
		}
	}
	inSeconds := func(signIn change) change { // as a program leaves it that keeps whole seconds alone
		return func(t testing.TB, c *tokencache.Cache) {
			signIn(t, c)
			c.Replace(parse(t, regexp.MustCompile(`,"graphtoken_sent":"[^"]*"`).ReplaceAllString(marshal(t, c), "")))
		}
	}
	for _, c := range []struct {
		sentence     string
		mine, theirs change
	}{
		{"of two sign-ins mine is later", session("mine", 5, 3), session("theirs", 1, 2)},
		{"my later sign-in has whole seconds", inSeconds(signsIn("mine", 5)), signsIn("theirs", 3)},
		{"their later sign-in has whole seconds", signsIn("mine", 3), inSeconds(signsIn("theirs", 5))},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			base := tokencache.New()
			session("base", 0, 0)(t, base)
			mine, theirs := base.Clone(), base.Clone()
			c.mine(t, mine)
			c.theirs(t, theirs)
			merged := tokencache.Merge(base, mine, theirs)
			if again := tokencache.Merge(base, mine, merged); marshal(t, again) != marshal(t, merged) {
				t.Errorf("got %s, want %s", marshal(t, again), marshal(t, merged))
			}
		})
	}
}

package tokencache_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
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

func TestMerge(t *testing.T) {
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
		for n := range 4 { // whoever one side didn't touch is as the other side has it
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

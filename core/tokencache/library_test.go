package tokencache_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// peer is a library that works on the record: where it puts the tokens that it
// gets, and what it leaves of the entries it finds.
type peer struct {
	name                string
	library             tokencache.Library
	environment         string
	refresh, id, access string // the ends of its keys, after the client's ID
	stamps, strips      bool
	short               bool // the access token isn't filed: MSAL Go's rule for less than 5 minutes
}

const graphScopes = "mail.read user.read"

var peers = []peer{
	{"Python", tokencache.MSALPython, cloud, "--" + graphScopes, "-common-", "-common-" + graphScopes, true, false, false},
	{"Go", tokencache.MSALGo, cloud, "", "-common", "-common-user.read mail.read", false, false, false},
	{"Node", tokencache.MSALNode, "login.windows.net", "---", "-common--", "-common-user.read mail.read-", false, false, false},
	{"Java", tokencache.MSALJava, "login.windows.net", "--", "-common-", "-common-user.read mail.read", false, true, false},
}

func (p peer) key(kind, suffix string) string {
	return anaID + "-" + p.environment + "-" + kind + "-" + clientA + suffix
}

// refreshes is a turn of the library: its tokens go where its keys say, and
// everything else stays.
func (p peer) refreshes(t testing.TB, c *tokencache.Cache, name string, at time.Time) *tokencache.Cache {
	t.Helper()
	d := read(t, marshal(t, c))
	if p.strips {
		for _, entries := range d {
			for _, e := range entries {
				maps.DeleteFunc(e, func(name string, _ any) bool {
					return name == "last_modification_time" || name == "token_type" || name == "target" && e["credential_type"] == "RefreshToken" ||
						name == "account_source" || strings.HasPrefix(name, "graphtoken")
				})
			}
		}
	}
	put := func(section, key string, members map[string]any) {
		if d[section] == nil {
			d[section] = map[string]map[string]any{}
		}
		if d[section][key] == nil || p.strips {
			d[section][key] = map[string]any{}
		}
		e := d[section][key] // MSAL Node leaves what it doesn't know in its own entry
		maps.Copy(e, map[string]any{"home_account_id": anaID, "environment": p.environment, "client_id": clientA, "credential_type": section})
		maps.Copy(e, members)
	}
	refresh := map[string]any{"secret": "rt-" + name}
	if p.stamps {
		refresh["target"], refresh["last_modification_time"] = "Mail.Read User.Read", fmt.Sprint(at.Unix())
	}
	put("RefreshToken", p.key("refreshtoken", p.refresh), refresh)
	put("IdToken", p.key("idtoken", p.id), map[string]any{"realm": "common", "secret": idToken(fmt.Sprintf(`{"iat":%d}`, at.Unix()))})
	put("AccessToken", p.key("accesstoken", p.access), map[string]any{"realm": "common", "secret": "at-" + name, "target": "User.Read Mail.Read",
		"cached_at": fmt.Sprint(at.Unix()), "expires_on": fmt.Sprint(at.Unix() + 3600)})
	if p.short {
		delete(d, "AccessToken")
	}
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, string(data))
}

func TestARefreshStandsUnderTheKeyThatWasThere(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			c := p.refreshes(t, tokencache.New(), "theirs", noon)
			for i := range 3 {
				base := c.Clone()
				put(t, c, refreshed("ana@contoso.com", anaID, fmt.Sprint("ours", i), at(10*i+1)))
				stored := base.Clone()
				put(t, stored, answer("bo@contoso.com", boID, "bo", at(10*i+1)))
				for what, c := range map[string]*tokencache.Cache{"Put": c, "Merge": merge(t, base, c, stored)} {
					c.Remove(bo)
					d := read(t, marshal(t, c))
					for section, key := range map[string]string{
						"RefreshToken": p.key("refreshtoken", p.refresh), "IdToken": p.key("idtoken", p.id), "AccessToken": p.key("accesstoken", p.access),
					} {
						e := d.only(t, section)
						if d[section][key] == nil || e["environment"] != p.environment {
							t.Errorf("%s: %s is %v", what, section, d[section])
						}
						if e["target"] == nil && section != "IdToken" {
							t.Errorf("%s: python-o365 refreshes by the scopes of the refresh token, and %v has none", what, e)
						}
					}
					wantRefresh(t, c, ana, fmt.Sprint("rt-ours", i))
				}
				c = p.refreshes(t, c, fmt.Sprint("theirs", i), at(10*i+2))
				wantRefresh(t, c, ana, fmt.Sprint("rt-theirs", i))
				wantAccess(t, c, ana, fmt.Sprint("at-theirs", i))
			}
		})
	}
}

func TestASignInBesideALibraryStandsUnderItsKeys(t *testing.T) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			c := tokencache.New()
			r := answer("ana@contoso.com", anaID, "ours", noon)
			r.Library = p.library
			put(t, c, r)
			c = p.refreshes(t, c, "theirs", at(1))
			c = p.refreshes(t, c, "theirs again", at(1))
			d := read(t, marshal(t, c))
			for section, key := range map[string]string{
				"RefreshToken": p.key("refreshtoken", p.refresh), "IdToken": p.key("idtoken", p.id), "AccessToken": p.key("accesstoken", p.access),
			} {
				if d.only(t, section); d[section][key] == nil {
					t.Errorf("%s is %v, want it under %s", section, d[section], key)
				}
			}
			if d["Account"][anaID+"-"+p.environment+"-common"] == nil || d["AppMetadata"]["appmetadata-"+p.environment+"-"+clientA] == nil {
				t.Errorf("the account and the metadata are %v, %v", d["Account"], d["AppMetadata"])
			}
			wantRefresh(t, c, ana, "rt-theirs again")
		})
	}
}

func TestAFamilysTokenStandsUnderTheFamilysKey(t *testing.T) {
	for library, want := range map[tokencache.Library]string{tokencache.MSALGo: cloud + "-refreshtoken-1", tokencache.MSALNode: "login.windows.net-refreshtoken-1---",
		tokencache.MSALJava: "login.windows.net-refreshtoken-1--", tokencache.AnyLibrary: cloud + "-refreshtoken-" + clientA + "--" + graphScopes} {
		c := tokencache.New()
		r := answer("ana@contoso.com", anaID, "ours", noon)
		r.Library, r.FamilyID = library, "1"
		put(t, c, r)
		if d := read(t, marshal(t, c)); d["RefreshToken"][anaID+"-"+want] == nil {
			t.Errorf("%v: %v", library, d["RefreshToken"])
		}
	}
}

// Without a turn of ours in between, a library that doesn't replace our refresh
// token leaves it beside its own. Ours is the spent one, whatever the clock says.
func TestAnEntryBesideOursCountsAsLater(t *testing.T) {
	for _, p := range peers {
		for _, environment := range []string{cloud, "login.windows.net"} { // keys have an order, which must not matter
			for i, after := range []time.Duration{0, time.Second, time.Hour, 0} {
				p.environment, p.short = environment, i == 3
				c := tokencache.New()
				put(t, c, tokencache.TokenResponse{AccessToken: "at-ours", RefreshToken: "rt-ours", ClientID: clientA, Tenant: "common", HomeAccountID: anaID,
					Scope: "Files.Read", ExpiresIn: 3600, Sent: noon.Add(999 * time.Millisecond)})
				c = p.refreshes(t, c, "theirs", noon.Add(after))
				wantRefresh(t, c, tokencache.Query{HomeAccountID: anaID}, "rt-theirs")
				if d := read(t, marshal(t, c)); d["RefreshToken"][p.key("refreshtoken", p.refresh)] == nil {
					t.Errorf("%s, after %s: the refresh token is under %q", p.name, after, slices.Collect(maps.Keys(d["RefreshToken"])))
				}
			}
		}
	}
}

func TestAStampThatALibraryLeftOnItsOwnSecretSaysNothing(t *testing.T) {
	node := peers[2]
	c := node.refreshes(t, tokencache.New(), "theirs", noon)
	base := c.Clone()
	put(t, base, refreshed("ana@contoso.com", anaID, "base", at(1)))
	mine := base.Clone()
	put(t, mine, refreshed("ana@contoso.com", anaID, "mine", at(10)))
	theirs := node.refreshes(t, base, "theirs", at(20)) // our stamp of second 1 is on it still
	wantRefresh(t, merge(t, base, mine, theirs), ana, "rt-theirs")
}

func TestOfTwoRefreshesInOneSecondTheLaterWins(t *testing.T) {
	base := signedIn(t)
	early, late := base.Clone(), base.Clone()
	put(t, early, refreshed("ana@contoso.com", anaID, "early", at(1).Add(100*time.Millisecond)))
	put(t, late, refreshed("ana@contoso.com", anaID, "late", at(1).Add(200*time.Millisecond)))
	wantRefresh(t, merge(t, base, early, late), ana, "rt-late")
	wantRefresh(t, merge(t, base, late, early), ana, "rt-late")
	wantRefresh(t, merge(t, base, late, parse(t, marshal(t, early))), ana, "rt-late")
	// A token that another library stored in that second is later than ours.
	foreign := peers[1].refreshes(t, base, "foreign", at(1))
	wantRefresh(t, merge(t, base, late, foreign), ana, "rt-foreign")
}

func TestMergeKeepsTheKeyThatIsStored(t *testing.T) {
	base := signedIn(t)
	for _, p := range peers {
		mine, theirs := base.Clone(), p.refreshes(t, base, "theirs", at(1))
		put(t, mine, refreshed("ana@contoso.com", anaID, "mine", at(5)))
		got := merge(t, base, mine, theirs)
		wantRefresh(t, got, ana, "rt-mine")
		got.Remove(bo)
		d := read(t, marshal(t, got))
		if e := d.only(t, "RefreshToken"); d["RefreshToken"][p.key("refreshtoken", p.refresh)] == nil || e["environment"] != p.environment {
			t.Errorf("%s: the refresh token is %v", p.name, d["RefreshToken"])
		}
	}
}

func TestAClientHasOneAppMetadataInACloud(t *testing.T) {
	const theirs = "appmetadata-login.windows.net-" + clientA
	entryOf := func(environment, more string) string {
		return fmt.Sprintf(`{"client_id":%q,"environment":%q%s}`, clientA, environment, more)
	}
	for _, x := range []struct{ sentence, document, want string }{
		{"none is there", `{}`, "appmetadata-" + cloud + "-" + clientA},
		{"another library's is there", `{"AppMetadata":{"` + theirs + `":` + entryOf("login.windows.net", `,"x":1`) + `}}`, theirs},
		{"another library's is there in capital letters", `{"AppMetadata":{"A":` + entryOf("LOGIN.windows.net", "") + `}}`, "A"},
		{"two are there", `{"AppMetadata":{"appmetadata-` + cloud + `-x":` + entryOf(cloud, "") + `,"` + theirs + `":` + entryOf("login.windows.net", "") + `}}`, theirs},
		{"two are there, and one knows the family", `{"AppMetadata":{"a":` + entryOf(cloud, `,"family_id":"1"`) + `,"` + theirs + `":` + entryOf("login.windows.net", "") + `}}`, "a"},
	} {
		t.Run(x.sentence, func(t *testing.T) {
			base := parse(t, x.document)
			c := base.Clone()
			put(t, c, answer("ana@contoso.com", anaID, "ana", noon))
			other := base.Clone()
			put(t, other, answer("bo@contoso.com", boID, "bo", noon))
			for _, c := range []*tokencache.Cache{c, merge(t, base, c, other), merge(t, base, c, base)} {
				d := read(t, marshal(t, c))
				if d.only(t, "AppMetadata"); d["AppMetadata"][x.want] == nil {
					t.Errorf("it is %v", d["AppMetadata"])
				}
			}
		})
	}
	c := parse(t, `{"AppMetadata":{"us":`+entryOf("login.microsoftonline.us", "")+`,"b":{"client_id":"`+clientB+`","environment":"`+cloud+`"},"odd":{},"odder":{}}}`)
	put(t, c, answer("ana@contoso.com", anaID, "ana", noon))
	if d := read(t, marshal(t, c)); len(d["AppMetadata"]) != 5 {
		t.Errorf("other clients', clouds' and nobody's became %v", d["AppMetadata"])
	}
}

// MSAL Python files a token that is bound to a key under a plain token's key.
func TestAPlainTokenDoesNotTakeABoundTokensKey(t *testing.T) {
	key := anaID + "-" + cloud + "-accesstoken-" + clientA + "-common-" + graphScopes
	c := parse(t, documentOf(entry{"AccessToken", key, `"secret":"bound","realm":"common","target":"Mail.Read User.Read","token_type":"ssh-cert","key_id":"1"`}))
	put(t, c, refreshed("ana@contoso.com", anaID, "plain", noon))
	put(t, c, refreshed("ana@contoso.com", anaID, "plain 2", at(1)))
	d := read(t, marshal(t, parse(t, marshal(t, c))))
	if len(d["AccessToken"]) != 2 || d["AccessToken"][key]["secret"] != "bound" {
		t.Errorf("the access tokens are %v", d["AccessToken"])
	}
	wantAccess(t, c, tokencache.Query{HomeAccountID: anaID}, "at-plain 2")
}

package tokencache_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

func documents(f *testing.F) []string {
	return []string{
		"{}", " { } ", "null", "[]", "", `{"a":1}x`, `{"AccessToken":null}`, `{"access_token":"x"}`,
		`{"AccessToken":{"k":null},"X":[1,2.5e-3,true,"\ud83d\ude00\ud800"]}`,
		`{"AccessToken":{"a":{"home_account_id":"h"},"a":{"home_account_id":"H","secret":"\u0073"}}}`,
		fmt.Sprintf(`{"AccessToken":{"":{"home_account_id":"","home_account_id":%q,"client_id":%q,"target":"User.Read Mail.Read","realm":"common"}}}`, anaID, clientA),
		`{"RefreshToken":{"a":{"client_id":"c","family_id":"1"},"b":{"client_id":"c"},"c":{"client_id":"d","family_id":"1"}}}`,
		documentOf(append(pythonWrote("p", 1), goWrote("g", 2)...)...),
		python(f, "o365_token.txt"), python(f, "client_credentials.txt"), python(f, "fernet_token.txt"), unknown,
	}
}

func FuzzParse(f *testing.F) {
	for _, d := range documents(f) {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := tokencache.Parse(data)
		if err != nil {
			if c != nil || !errors.Is(err, tokencache.ErrCorrupt) && !errors.Is(err, tokencache.ErrLegacyToken) {
				t.Fatalf("got %v, %v", c, err)
			}
			return
		}
		if !json.Valid(data) {
			t.Fatal("it is no JSON")
		}
		once := marshal(t, c)
		again := parse(t, once)
		if twice := marshal(t, again); twice != once {
			t.Fatalf("it doesn't stay the same:\n%s\n%s", once, twice)
		}
		// The entries that are left have their content and their names.
		before, after := decode(t, data), decode(t, []byte(once))
		for name, section := range after {
			entries, object := section.(map[string]any)
			if !object || !sections[name] {
				if !reflect.DeepEqual(section, before[name]) {
					t.Fatalf("section %q became %v, was %v", name, section, before[name])
				}
				continue
			}
			was := before[name].(map[string]any)
			for key, e := range entries {
				if b, there := was[key]; !there || !reflect.DeepEqual(e, b) {
					t.Fatalf("%s %q became %v, was %v", name, key, e, b)
				}
			}
		}
		for name := range before {
			if !sections[name] && after[name] == nil && before[name] != nil {
				t.Fatalf("section %q is lost", name)
			}
		}
		for _, q := range []tokencache.Query{{}, {App: true}, {Username: "u"}, {HomeAccountID: "h", ClientID: "c", Scopes: []string{"s"}}} {
			c.AccessToken(q)
			c.RefreshToken(q)
			c.Account(q)
			c.Ambiguous(q)
			before := marshal(t, c)
			if removed := c.Clone().Remove(q); marshal(t, c) != before {
				t.Fatalf("removing %+v (%v) from a clone changed the origin", q, removed)
			}
		}
		r := refreshed("ana@contoso.com", anaID, "new", noon)
		put(t, c, r)
		if at, ok := parse(t, marshal(t, c)).AccessToken(tokencache.Query{HomeAccountID: anaID, Environment: cloud, Tenant: "common", ClientID: clientA, Scopes: []string{"User.Read"}}); !ok || at.Secret == "" {
			t.Fatal("what Put wrote is not there")
		}
	})
}

var sections = map[string]bool{"AccessToken": true, "Account": true, "IdToken": true, "RefreshToken": true, "AppMetadata": true}

// decode reads a document with numbers as they are written.
func decode(t *testing.T, data []byte) (document map[string]any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&document); err != nil {
		t.Fatalf("encoding/json can't read it: %v", err)
	}
	return document
}

func FuzzMerge(f *testing.F) {
	for i, a := range documents(f) {
		all := documents(f)
		f.Add([]byte(a), []byte(all[(i+5)%len(all)]), []byte(all[(i+9)%len(all)]))
	}
	f.Fuzz(func(t *testing.T, a, b, c []byte) {
		base, err1 := tokencache.Parse(a)
		mine, err2 := tokencache.Parse(b)
		theirs, err3 := tokencache.Parse(c)
		if errors.Join(err1, err2, err3) != nil {
			return
		}
		for _, law := range []struct {
			name      string
			got, want *tokencache.Cache
		}{
			{"what they alone changed counts", merge(t, base, base, theirs), theirs},
			{"what I alone changed counts", merge(t, base, mine, base), mine},
			{"what both made alike stays", merge(t, base, mine, mine), mine},
		} {
			got, want := marshal(t, law.got), marshal(t, law.want)
			if !reflect.DeepEqual(decode(t, []byte(got)), decode(t, []byte(want))) {
				t.Fatalf("%s:\ngot  %s\nwant %s", law.name, got, want)
			}
		}
		merged := marshal(t, merge(t, base, mine, theirs))
		if again := marshal(t, parse(t, merged)); again != merged {
			t.Fatalf("Parse doesn't leave it as Merge does:\n%s\n%s", merged, again)
		}
	})
}

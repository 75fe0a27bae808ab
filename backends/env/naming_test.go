package env

import (
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

func TestNamesAreThoseThatPythonO365Wrote(t *testing.T) {
	for _, c := range []struct {
		where, key, name string
		naming           naming
	}{
		{"unix", "O365TOKEN", "O365TOKEN", newNaming("linux")},
		{"unix", "o365_token.v2-a", "o365_token.v2-a", newNaming("darwin")},
		{"unix", "ana@contoso.com", "ana%40contoso.com", newNaming("linux")},
		{"windows", "O365TOKEN", "O365TOKEN", newNaming("windows")},
		{"windows", "o365", "%4f365", newNaming("windows")},
		{"windows", "ANA@X", "ANA%40X", newNaming("windows")},
		{"dotenv", "O365TOKEN", "O365TOKEN", identifiers},
		{"dotenv", "my.token_2", "my.token_2", identifiers},
		{"dotenv", "a-b", "__c4mm4", identifiers},
		{"dotenv", "__c4mm4", "__btfm6d3ddkq0", identifiers},
	} {
		if got := c.naming.Name(c.key); got != c.name {
			t.Errorf("%s: %q is named %q, want %q", c.where, c.key, got, c.name)
		}
	}
}

func FuzzNoTwoKeysShareAName(f *testing.F) {
	f.Add("O365TOKEN", "o365token")
	f.Add("%40", "@")
	f.Add("__c4mm4", "a-b")
	f.Add("%%c4mm4", "a-b")
	f.Add(strings.Repeat("/", 150), strings.Repeat("/", 149))
	places := map[string]naming{"unix": newNaming("linux"), "windows": newNaming("windows"), "dotenv": identifiers}
	f.Fuzz(func(t *testing.T, a, b string) {
		if core.ValidateKey(a) != nil || core.ValidateKey(b) != nil {
			t.Skip()
		}
		for where, n := range places {
			nameA, nameB := n.Name(a), n.Name(b)
			if key, ok := n.Key(nameA); !ok || key != a {
				t.Errorf("%s: %q is named %q, which is the key %q, %v", where, a, nameA, key, ok)
			}
			if len(nameA) > backend.LongestName {
				t.Errorf("%s: the name of %q has %d bytes", where, a, len(nameA))
			}
			same := nameA == nameB || where == "windows" && strings.EqualFold(nameA, nameB)
			if same && a != b {
				t.Errorf("%s: %q and %q are both named %q", where, a, b, nameA)
			}
			if where == "dotenv" && !isIdentifier(nameA) {
				t.Errorf("%s: %q is named %q", where, a, nameA)
			}
		}
	})
}

package backend_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

var hardKeys = []string{
	"o365_token.txt", "O365TOKEN", "a", ".", "..", "...", "a/b", `a\b`, "a%b", "%", "%%", "%%0", "%41", "A", "a.", ".graphtoken",
	"ana@contoso.com", "Ana@contoso.com", "ünïcode", "u\u0308", "日本語", " ", "a b", "a\nb", "con", "CON", "nul.txt",
	strings.Repeat("x", 150), strings.Repeat("/", 150), strings.Repeat("é", 75), "\x01", "a:b", "~", "__x__",
}

func TestNamesAreReversibleAndDontCollide(t *testing.T) {
	namings := map[string]backend.Naming{
		"a store that takes everything": {Escape: '%'},
		"a store that folds case":       {Escape: '%', FoldsCase: true},
		"a store with short names":      {Escape: '~', Limit: 255},
		"a store that others share":     {Escape: '%', Limit: 255, Prefix: "../gr%41ph", Reserved: func(name string) bool { return strings.HasSuffix(name, "h.") }},
		"a store with reserved names": {Escape: '%', Limit: 255, Reserved: func(name string) bool {
			return strings.HasPrefix(name, ".") || strings.EqualFold(name, "con")
		}},
		"a directory of native names": {Escape: '%', Limit: 255, Native: inDirectory, Reserved: func(name string) bool { return name == ".graphtoken" }},
		"native names after a prefix": {Escape: '%', Prefix: "%%", Native: inDirectory},
		"a store of all native names": {Escape: '!', Native: func(string) bool { return true }},
	}
	for what, n := range namings {
		t.Run(what, func(t *testing.T) {
			seen := map[string]string{}
			for _, key := range hardKeys {
				name := n.Name(key)
				if n.Limit > 0 && len(name) > n.Limit {
					t.Errorf("the name of %q has %d bytes, the limit is %d", key, len(name), n.Limit)
				}
				if n.Reserved != nil && n.Reserved(name) {
					t.Errorf("the name of %q is %q, which is reserved", key, name)
				}
				if got, ok := n.Key(name); !ok || got != key {
					t.Errorf("the name of %q is %q, whose key is %q, %v", key, name, got, ok)
				}
				folded := name
				if n.FoldsCase {
					folded = strings.ToLower(name)
				}
				if other, taken := seen[folded]; taken {
					t.Errorf("%q and %q share the name %q", key, other, name)
				}
				seen[folded] = key
			}
		})
	}
}

func TestPlainKeysAreTheirOwnNames(t *testing.T) {
	for _, key := range []string{"o365_token.txt", "O365TOKEN", "a-b.c_d9"} {
		if name := (backend.Naming{Escape: '%'}).Name(key); name != key {
			t.Errorf("the name of %q is %q", key, name)
		}
	}
}

// inDirectory is what a file can be named.
func inDirectory(name string) bool {
	return name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}

func TestAKeyIsItsNativeNameWhereTheStoreCanHoldIt(t *testing.T) {
	n := backend.Naming{Prefix: "app ", Escape: '%', Limit: 255, Native: inDirectory, Reserved: func(name string) bool { return name == "app leases" }}
	for _, key := range []string{
		"ana@contoso.com token.txt", "a%b", "ana%40contoso.com", "a+b=c", "日本語", "Token.TXT", "a\nb", "%%", "%%not base32", "%%64o36d1g", // the last is base32 of "abcd\x00"
		"..", "%" + "%c4",
	} {
		if name := n.Name(key); name != "app "+key {
			t.Errorf("the name of %q is %q", key, name)
		}
		if got, ok := n.Key("app " + key); !ok || got != key {
			t.Errorf("the name %q has the key %q, %v", "app "+key, got, ok)
		}
	}
	for _, key := range []string{"../escape", "a/b", "leases", n.Name("a/b")[len("app "):]} {
		name := n.Name(key)
		if name == "app "+key || !inDirectory(name) {
			t.Errorf("the name of %q is %q", key, name)
		}
	}
	for _, name := range []string{"app ", "app", "app leases", "app a/b", "app " + strings.Repeat("x", 151)} {
		if key, ok := n.Key(name); ok {
			t.Errorf("the name %q has the key %q", name, key)
		}
	}
}

func TestNamesOfOtherProgramsHaveNoKey(t *testing.T) {
	n := backend.Naming{Escape: '%', Limit: 255}
	for _, name := range []string{"", "%", "%4", "%41", "%2f", "%zz", "a b", "%%", "%%zz", "%%00", "%%2F", strings.Repeat("x", 151)} {
		if key, ok := n.Key(name); ok {
			t.Errorf("the name %q has the key %q", name, key)
		}
	}
}

func TestANameHasThePrefixOfItsStore(t *testing.T) {
	n := backend.Naming{Prefix: "a%", Escape: '%'}
	if name := n.Name("b/c"); name != "a%b%2Fc" {
		t.Errorf("the name is %q", name)
	}
	for _, name := range []string{"b", "a", "a%", "A%b", ""} {
		if key, ok := n.Key(name); ok {
			t.Errorf("the name %q has the key %q", name, key)
		}
	}
}

func FuzzNaming(f *testing.F) {
	for _, key := range hardKeys {
		f.Add(key)
	}
	namings := []backend.Naming{
		{Escape: '%', Limit: 255, FoldsCase: true},
		{Escape: '%', Limit: 255, Native: inDirectory},
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range namings {
			if core.ValidateKey(s) == nil {
				if got, ok := n.Key(n.Name(s)); !ok || got != s {
					t.Errorf("%q came back as %q, %v", s, got, ok)
				}
			}
			if key, ok := n.Key(s); ok && n.Name(key) != s {
				t.Errorf("the name %q has the key %q, whose name is %q", s, key, n.Name(key))
			}
		}
	})
}

func TestAnInvalidKeyIsErrInvalidKey(t *testing.T) {
	for what, key := range map[string]string{
		"the empty key":     "",
		"151 bytes":         strings.Repeat("x", 151),
		"a NUL byte":        "a\x00b",
		"what is not UTF-8": "a\xffb",
	} {
		if err := core.ValidateKey(key); !errors.Is(err, core.ErrInvalidKey) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, key := range hardKeys {
		if err := core.ValidateKey(key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
}

func TestSwapCaseChangesTheLettersOfASCIIAlone(t *testing.T) {
	if got := backend.SwapCase("aZ@[`{09é"); got != "Az@[`{09é" || backend.SwapCase(got) != "aZ@[`{09é" {
		t.Errorf("SwapCase = %q", got)
	}
}

package core_test

import (
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

func TestNoTwoPairsOfNamespaceAndKeyHaveTheSameAssociatedData(t *testing.T) {
	seen := map[string]string{}
	for _, pair := range [][2]string{{"", "a"}, {"", "ab"}, {"a", "b"}, {"", "a b"}, {"ab", "c"}, {"a", "bc"}, {"a\x00b", "c"}, {"a", "c"}} {
		data, what := string(core.AssociatedData(pair[0], pair[1])), pair[0]+"|"+pair[1]
		if other, ok := seen[data]; ok {
			t.Errorf("%q and %q have the same", what, other)
		}
		seen[data] = what
	}
	if got := string(core.AssociatedData("production", "ana")); got != "production\x00ana" {
		t.Errorf("%q", got)
	}
	if got := string(core.AssociatedData("", "ana")); got != "ana" {
		t.Errorf("%q", got)
	}
}

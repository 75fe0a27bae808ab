package msal

import "testing"

func TestTheGrantedScopesAnswerTheQueryThatAskedForThem(t *testing.T) {
	const graph = "https://graph.microsoft.com/"
	for what, test := range map[string]struct {
		answer string
		asked  []string
		want   string
	}{
		"an answer without scopes means what was asked for": {"", []string{"User.Read"}, "User.Read"},
		"an answer that lists them is believed":             {"User.Read", []string{"User.Read", "Mail.Read"}, "User.Read"},
		"a default scope that was spelt out stays":          {"User.Read", []string{graph + ".default"}, "User.Read " + graph + ".default"},
		"a default scope is not listed twice":               {graph + ".default", []string{graph + ".default"}, graph + ".default"},
	} {
		if got := (&answer{Scope: test.answer}).granted(test.asked); got != test.want {
			t.Errorf("%s: %q, want %q", what, got, test.want)
		}
	}
}

package msal

import "testing"

func TestTheGrantedScopesAnswerTheQueryThatAskedForThem(t *testing.T) {
	const graph = "https://graph.microsoft.com/"
	for what, test := range map[string]struct {
		answer string
		asked  []string
		want   string
	}{
		"an answer without scopes means what was asked for":    {"", []string{"User.Read"}, "User.Read"},
		"an answer that lists them is believed":                {"User.Read", []string{"User.Read", "Mail.Read"}, "User.Read"},
		"a default scope that was spelt out stays":             {"User.Read", []string{graph + ".default"}, "User.Read " + graph + ".default"},
		"a scope under another of its resource's names stays":  {"https://graph.microsoft.us/User.Read", []string{"User.Read"}, "https://graph.microsoft.us/User.Read User.Read"},
		"a scope that is found under its name isn't added":     {"00000003-0000-0000-c000-000000000000/User.Read " + graph + "/Mail.Read", []string{"User.Read", graph + "Mail.Read"}, "00000003-0000-0000-c000-000000000000/User.Read " + graph + "/Mail.Read"},
		"a resource's ID stands for its address":               {"11111111-2222-3333-4444-555555555555/Read", []string{"api://files/Read", "api://files/Write"}, "11111111-2222-3333-4444-555555555555/Read api://files/Read"},
		"another resource's scope of the same name is another": {"https://other.example/Read", []string{"https://api.example/Read"}, "https://other.example/Read"},
		"a default scope is not listed twice":                  {graph + ".default", []string{graph + ".default"}, graph + ".default"},
	} {
		if got := (&answer{Scope: test.answer}).granted(test.asked, "login.microsoftonline.com"); got != test.want {
			t.Errorf("%s: %q, want %q", what, got, test.want)
		}
	}
}

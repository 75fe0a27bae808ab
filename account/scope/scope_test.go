package scope

import (
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

func TestNamesBecomeScopes(t *testing.T) {
	const graph = "https://graph.microsoft.com/"
	for what, row := range map[string]struct {
		names, want []string
	}{
		"a helper is its scope, of Graph":            {[]string{"basic"}, []string{graph + "User.Read"}},
		"a helper may stand for several":             {[]string{"message_all"}, []string{graph + "Mail.ReadWrite", graph + "Mail.Send"}},
		"the page's sharepoint_dl is sharepoint_all": {[]string{"sharepoint_dl", "sharepoint_all"}, []string{graph + "Sites.ReadWrite.All"}},
		"a name that is no helper passes":            {[]string{"Chat.Read"}, []string{graph + "Chat.Read"}},
		"a helper in other letters is no helper":     {[]string{"Basic"}, []string{graph + "Basic"}},
		"a scope that has its resource stays":        {[]string{graph + "User.Read"}, []string{graph + "User.Read"}},
		"another resource's scope stays":             {[]string{"https://outlook.office.com/SMTP.Send", "api://my-api/Read"}, []string{"https://outlook.office.com/SMTP.Send", "api://my-api/Read"}},
		"OpenID Connect's scopes have no resource":   {[]string{"openid", "profile", "email", "offline_access"}, []string{"openid", "profile", "email", "offline_access"}},
		"the scope .default is the resource's":       {[]string{".default"}, []string{graph + ".default"}},
		"what two helpers share is there once":       {[]string{"message_all", "message_send"}, []string{graph + "Mail.ReadWrite", graph + "Mail.Send"}},
		"a scope beside its helper is there once":    {[]string{"basic", "user.read", graph + "User.Read"}, []string{graph + "User.Read"}},
		"the order is that of the names":             {[]string{"tasks", "basic"}, []string{graph + "Tasks.Read", graph + "User.Read"}},
		"one text with several is split":             {[]string{"basic mailbox,Chat.Read\n"}, []string{graph + "User.Read", graph + "Mail.Read", graph + "Chat.Read"}},
		"blank texts are nothing":                    {[]string{"", " "}, nil},
		"without names there are no scopes":          {nil, nil},
	} {
		if got := For(row.names...); !slices.Equal(got, row.want) {
			t.Errorf("%s: For(%q) is %q, want %q", what, row.names, got, row.want)
		}
	}
}

func TestAResourceHasItsOwnPrefix(t *testing.T) {
	for resource, want := range map[Resource]string{
		Graph:                      "https://graph.microsoft.com/User.Read",
		GraphUSGovernment:          "https://graph.microsoft.us/User.Read",
		GraphUSDefense:             "https://dod-graph.microsoft.us/User.Read",
		GraphChina:                 "https://microsoftgraph.chinacloudapi.cn/User.Read",
		BusinessCentral:            "https://api.businesscentral.dynamics.com/User.Read",
		"api://without-a-slash":    "api://without-a-slash/User.Read",
		"https://one.example.com/": "https://one.example.com/User.Read",
	} {
		if got := resource.For("basic"); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %q, want %s", resource, got, want)
		}
	}
}

// theirs prints what python-o365 makes of each of its helpers, and of names that
// are no helpers, by resource.
const theirs = `
import json
from O365.connection import DEFAULT_SCOPES, MSBusinessCentral365Protocol, MSGraphProtocol
names = list(DEFAULT_SCOPES) + ["Chat.Read", ".default"]
protocols = {"Graph": MSGraphProtocol(), "Business Central": MSBusinessCentral365Protocol()}
print(json.dumps({p: {n: protocols[p].get_scopes_for(n) for n in names} for p in protocols}))
`

func TestPythonO365MakesTheSameScopes(t *testing.T) {
	out, err := exec.Command(peer.Python(t), "-c", theirs).Output()
	if err != nil {
		var failed *exec.ExitError
		if errors.As(err, &failed) {
			t.Logf("%s", failed.Stderr)
		}
		t.Fatal(err)
	}
	var made map[string]map[string][]string
	if err := json.Unmarshal(out, &made); err != nil {
		t.Fatal(err)
	}
	for protocol, resource := range map[string]Resource{"Graph": Graph, "Business Central": BusinessCentral} {
		for name, want := range made[protocol] {
			// Theirs are a set, in no order.
			if got := resource.For(name); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
				t.Errorf("%s: %s is %q, python-o365's %q", protocol, name, got, want)
			}
		}
		for name := range helpers {
			if _, known := made[protocol][name]; !known && name != "sharepoint_dl" {
				t.Errorf("%s: python-o365 has no helper %q", protocol, name)
			}
		}
	}
}

package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// theirNames prints the names that a user of python-o365 meets about signing in and
// keeping tokens: of its Account (but what it calls Graph for), its Connection, its
// token backends and its scope helpers, with the parameters of their constructors.
const theirNames = `
import inspect, json
import O365.account, O365.connection, O365.utils.token as token
from O365.connection import DEFAULT_SCOPES

def members(c):
    return [n for n in vars(c) if not n.startswith("_")]

def parameters(c):
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [p.name for p in inspect.signature(c.__init__).parameters.values() if p.name != "self" and p.kind not in kinds]

graph = {"new_message", "mailbox", "address_book", "schedule", "storage", "sharepoint", "planner", "teams", "outlook_categories",
         "groups", "tasks", "subscriptions", "directory", "get_current_user"}
names = set(members(O365.account.Account)) - graph - {"connection_constructor"}
names |= set(parameters(O365.account.Account))
names |= set(members(O365.connection.Connection)) | set(parameters(O365.connection.Connection))
names |= set(members(token.BaseTokenBackend))
for c in [n for n in vars(token) if n.endswith("Backend") and n != "BaseTokenBackend"]:
    names |= {c} | set(parameters(getattr(token, c)))
names |= set(DEFAULT_SCOPES) | {"oauth_authentication_flow", "TokenExpiredError", "CryptographyManagerType", "BaseTokenBackend"}
print(json.dumps(sorted(names)))
`

func TestEachNameOfPythonO365StandsBesideOurs(t *testing.T) {
	out, err := exec.Command(peer.Python(t), "-c", theirNames).Output()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	if err := json.Unmarshal(out, &names); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "from-python-o365.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`).Match(page) {
			t.Errorf("docs/from-python-o365.md doesn't say what %s is here", name)
		}
	}
	if len(names) < 80 {
		t.Errorf("python-o365 has more names than %s", strings.Join(names, " "))
	}
}

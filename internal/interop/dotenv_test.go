package interop

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

func TestPythonDotenvReadsWhatIsSaved(t *testing.T) {
	const script = "import sys, json, dotenv; json.dump(dotenv.dotenv_values(sys.argv[1]), sys.stdout)"
	python := peer.Python(t)
	path := filepath.Join(t.TempDir(), ".env")
	b, err := env.New(env.Options{DotEnv: path})
	if err != nil {
		t.Fatal(err)
	}
	saved := []string{
		" leading and trailing ",
		`{"secret": "0.AX#;&|<>$HOME ${HOME} $(id) %PATH% !x"}`,
		`{"name": "Zo\u00eb \"Z\" O'Brien \\ \\\\"}`,
		"{\n    \"indented\": {\n        \"by\": 4\n    }\n}",
		"A=1\nO365TOKEN=2\n# comment\n",
		"gAAAAABkfernet-looking_text==",
		"grüße 令牌", `'`, `"`, `\`, `ends with \`, "#", "${", "export A=b",
		"base64:e30=",
	}
	for i, data := range saved {
		if _, err := b.Save(t.Context(), fmt.Sprint("k", i), core.Record{Data: []byte(data), Version: core.AnyVersion}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), python, "-c", script, path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]string
	if err := json.Unmarshal(out, &values); err != nil {
		t.Fatal(err)
	}
	for i, data := range saved {
		if got := values[fmt.Sprint("k", i)]; got != data && !strings.HasPrefix(got, "base64:") {
			t.Errorf("saved %q, python-dotenv reads %q", data, got)
		}
	}
}

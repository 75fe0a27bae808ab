package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/conformance"
)

func TestTheStoresConformAndAreLeftAsTheyWere(t *testing.T) {
	for what, test := range map[string]struct {
		store, file, content string
		coordinated          bool
	}{
		"a directory beside a record":    {"file:kept/tokens.json", "kept/tokens.json", "{}", true},
		"a dotenv file with other lines": {"env://O365TOKEN?file=app.env", "app.env", "# ours\nOTHER=1\nO365TOKEN={}\n", false}, // between processes the last writer wins
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			path := filepath.Join(w.dir, filepath.FromSlash(test.file))
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			var report conformance.Report
			r := w.run("conformance", "--json", "--timeout", "90s", "--store", test.store)
			if err := json.Unmarshal([]byte(r.out), &report); err != nil || r.code != 0 {
				t.Fatalf("exit code %d, %v: %s", r.code, err, r.err)
			}
			if lines := strings.Split(strings.TrimSpace(r.err), "\n"); len(lines) != len(report.Cases) || !strings.HasPrefix(lines[0], "1 of ") || !strings.HasSuffix(lines[0], ": claims/cas") {
				t.Errorf("the progress is %q", lines)
			}
			for _, p := range report.Profiles {
				if p.Holds != (p.Name == "core" || test.coordinated) {
					t.Errorf("the profile %s holds: %t, %s", p.Name, p.Holds, p.Detail)
				}
			}
			if len(report.Profiles) != 2 || len(report.Cases) < 100 {
				t.Errorf("%d profiles, %d cases", len(report.Profiles), len(report.Cases))
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != test.content {
				t.Errorf("what was there is %q now, %v", after, err)
			}
			files, err := os.ReadDir(filepath.Dir(path))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if strings.Contains(f.Name(), "conformance") {
					t.Errorf("%s was left behind", f.Name())
				}
			}
		})
	}
}

func TestConformanceStopsWhereNothingCanBeSaved(t *testing.T) {
	w := newWorld(t)
	if err := os.WriteFile(filepath.Join(w.dir, "blocked"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.set("TOKENS={}")
	for store, want := range map[string]string{
		"file:blocked/tokens.json": "the store can't be saved to", // a file stands where the directory should
		"env://TOKENS":             "read-only: a variable ends with its process; the suite can try env://TOKENS?file=.env",
	} {
		if r := w.fails(5, "conformance", "--store", store); r.out != "" || !strings.Contains(r.err, want) {
			t.Errorf("of %s: %s%s", store, r.out, r.err)
		}
	}
}

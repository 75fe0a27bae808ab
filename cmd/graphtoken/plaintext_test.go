package main_test

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestEachCommandWithKeysTellsHowAPlainRecordIsAccepted(t *testing.T) {
	for name, row := range map[string]struct {
		code int
		args []string
	}{
		"token":                  {5, []string{"token"}},
		"status":                 {5, []string{"status"}},
		"inspect":                {5, []string{"inspect"}},
		"list":                   {0, []string{"list"}},
		"list as JSON":           {0, []string{"list", "--json"}},
		"rewrap":                 {5, []string{"rewrap"}},
		"rewrap of all records":  {5, []string{"rewrap", "--store", "store/"}},
		"purge":                  {5, []string{"purge"}},
		"import into it":         {5, []string{"import", "store/tokens.json"}},
		"export of it":           {5, []string{"export", "there.json"}},
		"copy of it":             {5, []string{"copy", "store/tokens.json", "copies/"}},
		"copy of its store":      {5, []string{"copy", "store/", "copies/"}},
		"copy over it":           {5, []string{"copy", "store/sealed.json", "file:store/#tokens.json"}},
		"keepalive":              {5, []string{"keepalive"}},
		"login into its record":  {5, []string{"login", "--client-id", "x"}},
		"logout of a user in it": {5, []string{"logout"}},
		"whoami of a user in it": {5, []string{"whoami"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.login(ana)
			w.ok("keygen", "keys")
			if r := w.login(ana, "--key-file", "keys", "--store", filepath.Join("store", "sealed.json")); r.code != 0 {
				t.Fatal(r.err)
			}
			r := w.run(append(row.args, "--key-file", "keys")...)
			if shown := r.out + r.err; r.code != row.code || !strings.Contains(shown, "--plaintext-reads") || strings.Contains(shown, "envelope") {
				t.Errorf("exit code %d, want %d\n%s", r.code, row.code, shown)
			}
		})
	}
}

func TestACommandThatFindsNothingSaysSoWithoutAnEmptyTable(t *testing.T) {
	w := newWorld(t)
	w.mkdir("store", 0o700)
	if r := w.fails(3, "list", "--store", "store/"); r.out != "" {
		t.Errorf("list of no record prints %q", r.out)
	}
	w.login(ana)
	if r := w.fails(3, "status", "--client-id", "other"); r.out != "" {
		t.Errorf("status of nobody prints %q", r.out)
	}
	if r := w.run("purge"); r.code != 0 || r.out != "" || !strings.Contains(r.err, "There is nothing to purge") {
		t.Errorf("purge with nothing to purge ends with %d and says %q", r.code, r.err)
	}
}

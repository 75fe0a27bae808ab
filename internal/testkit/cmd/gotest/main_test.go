package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// inModule makes a module with the given tests, and runs gotest there.
func inModule(t *testing.T, tests string) (out string, skipped []string, err error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module m\n\ngo 1.25\n", "m_test.go": "package m\n\nimport \"testing\"\n\n" + tests} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("GOWORK", "off")
	t.Setenv("GOFLAGS", "")
	list := filepath.Join(t.TempDir(), "skipped")
	var shown strings.Builder
	err = run([]string{"./..."}, &shown, list)
	data, _ := os.ReadFile(list)
	return shown.String(), strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"), err
}

func TestEachSkippedTestIsToldWithItsReason(t *testing.T) {
	out, skipped, err := inModule(t, `
func TestGood(t *testing.T)   { t.Log("hidden") }
func TestQuiet(t *testing.T)  { t.Skip() }
func TestReason(t *testing.T) { t.Skip("only root\ncan do that") }
func TestPart(t *testing.T)   { t.Run("half", func(t *testing.T) { t.Parallel(); t.Skip("no file system") }) }
`)
	if err != nil || !strings.HasPrefix(out, "ok") || strings.Count(out, "\n") != 1 {
		t.Errorf("%v, and the output is\n%s", err, out)
	}
	want := []string{"m TestQuiet: no reason is given", "m TestReason: m_test.go:8: only root can do that", "m TestPart/half: m_test.go:9: no file system"}
	if strings.Join(skipped, "\n") != strings.Join(want, "\n") {
		t.Errorf("told are\n%s\nwant\n%s", strings.Join(skipped, "\n"), strings.Join(want, "\n"))
	}
}

func TestAFailureIsShownAsGoTestShowsIt(t *testing.T) {
	for _, c := range []struct{ name, tests, shows, hides string }{
		{"a test that fails", "func TestBad(t *testing.T) { t.Run(\"half\", func(t *testing.T) { t.Error(\"two are wanted\") }) }\nfunc TestGood(t *testing.T) { t.Log(\"hidden\") }", "two are wanted", "hidden"},
		{"a panic", "func TestBad(t *testing.T) { t.Log(\"before\"); panic(\"far\") }", "panic: far", "hidden"},
		{"a process that ends", "import \"os\"\nfunc TestBad(t *testing.T) { os.Stdout.WriteString(\"far\\n\"); os.Exit(3) }", "far", "hidden"},
		{"a text that isn't Go", "func TestBad(t *testing.T) { t.Fail( }", "m_test.go:5", "hidden"},
		{"a name that there is not", "func TestBad(t *testing.T) { t.Nothing() }", "t.Nothing undefined", "hidden"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, _, err := inModule(t, c.tests)
			if failed := (*exec.ExitError)(nil); !errors.As(err, &failed) || failed.ExitCode() != 1 {
				t.Errorf("the error is %v", err)
			}
			if !strings.Contains(out, c.shows) || !strings.Contains(out, "FAIL\tm") || strings.Contains(out, c.hides) {
				t.Errorf("the output isn't %q:\n%s", c.shows, out)
			}
		})
	}
}

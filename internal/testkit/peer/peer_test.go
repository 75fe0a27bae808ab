package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// spy hears how a test would have ended.
type spy struct {
	testing.TB
	skipped, failed string
}

func (*spy) Helper()                     {}
func (*spy) Name() string                { return "TestOfASpy" }
func (s *spy) Skipf(f string, a ...any)  { s.skipped = fmt.Sprintf(f, a...) }
func (s *spy) Fatalf(f string, a ...any) { s.failed = fmt.Sprintf(f, a...) }

func TestAMissingPeerIsLoudAndARequiredOneFails(t *testing.T) {
	for _, c := range []struct {
		name, require string
		fails         bool
	}{
		{"nothing is required", "", false},
		{"another one is required", "redis, postgres", false},
		{"it is required by name", "redis, Python", true},
		{"all are required", "all", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("GRAPHTOKEN_REQUIRE", c.require)
			t.Setenv("GRAPHTOKEN_PYTHON", "")
			var s spy
			if got := Python(&s); got != "" {
				t.Errorf("found %q", got)
			}
			said := s.skipped
			if c.fails {
				said = s.failed
			}
			if !strings.Contains(said, "MISSING REAL PEER: python") {
				t.Errorf("skipped %q, failed %q", s.skipped, s.failed)
			}
		})
	}
}

func TestAWantedPeerIsRequiredByNameAlone(t *testing.T) {
	for require, fails := range map[string]bool{"": false, "all": false, "all, emulator": true, "Emulator": true} {
		t.Setenv("GRAPHTOKEN_REQUIRE", require)
		var s spy
		Wanted(&s, "emulator", "it can't be installed")
		said := s.skipped
		if fails {
			said = s.failed
		}
		if !strings.Contains(said, "MISSING REAL PEER: emulator") {
			t.Errorf("%q is required: skipped %q, failed %q", require, s.skipped, s.failed)
		}
	}
}

func TestAPythonWithoutThePackagesIsMissing(t *testing.T) {
	t.Setenv("GRAPHTOKEN_REQUIRE", "")
	t.Setenv("GRAPHTOKEN_PYTHON", "/bin/false")
	var s spy
	if got := Python(&s); got != "" || !strings.Contains(s.skipped, "MISSING REAL PEER: python") {
		t.Errorf("got %q, skipped %q", got, s.skipped)
	}
}

func TestLibrariesThatAreNotInstalledAreMissing(t *testing.T) {
	finders := map[string]func(testing.TB) string{"node": Node, "java": Java}
	for name, find := range finders {
		for what, dir := range map[string]string{"the variable is not set": "", "its directory is empty": t.TempDir()} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Setenv("GRAPHTOKEN_REQUIRE", "")
				t.Setenv("GRAPHTOKEN_"+strings.ToUpper(name), dir)
				var s spy
				if got := find(&s); got != "" || !strings.Contains(s.skipped, "MISSING REAL PEER: "+name) {
					t.Errorf("got %q, skipped %q", got, s.skipped)
				}
				t.Setenv("GRAPHTOKEN_REQUIRE", "all")
				s = spy{}
				if find(&s); !strings.Contains(s.failed, "MISSING REAL PEER: "+name) {
					t.Errorf("required, and only skipped: %q", s.skipped)
				}
			})
		}
	}
}

func TestARelativePathStartsAtTheWorkspace(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(deep)
	if got, err := absolute("x"); err == nil {
		t.Errorf("without a go.work it became %s", got)
	}
	if err := os.WriteFile(filepath.Join(root, "go.work"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := absolute(filepath.Join(".cache", "venv", "bin", "python"))
	if err != nil || !strings.HasSuffix(got, filepath.Join(filepath.Base(root), ".cache", "venv", "bin", "python")) {
		t.Errorf("got %s, %v", got, err)
	}
}

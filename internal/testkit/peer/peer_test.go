package peer

import (
	"fmt"
	"strings"
	"testing"
)

// spy hears how a test would have ended.
type spy struct{ skipped, failed string }

func (*spy) Helper()                     {}
func (*spy) Logf(string, ...any)         {}
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

func TestAPythonWithoutThePackagesIsMissing(t *testing.T) {
	t.Setenv("GRAPHTOKEN_REQUIRE", "")
	t.Setenv("GRAPHTOKEN_PYTHON", "/bin/false")
	var s spy
	if got := Python(&s); got != "" || !strings.Contains(s.skipped, "MISSING REAL PEER: python") {
		t.Errorf("got %q, skipped %q", got, s.skipped)
	}
}

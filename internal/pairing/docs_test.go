package pairing

import (
	"os"
	"strings"
	"testing"
)

func TestThePageOfPairingsShowsLinesThatCompile(t *testing.T) {
	page, err := os.ReadFile("../../docs/pairing.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	compiled := unindented(string(source))
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) < 4 {
		t.Fatalf("the page has %d pieces of Go", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if !strings.Contains(compiled, unindented(block)) {
			t.Errorf("example_test.go doesn't have these lines:\n%s", block)
		}
	}
}

func unindented(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

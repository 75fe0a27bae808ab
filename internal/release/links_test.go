package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// documents lists the Markdown files that git knows, relative to the root.
func documents(t *testing.T, root string) []string {
	t.Helper()
	listed, err := output(t.Context(), command{dir: root}, "git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.md")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Fields(listed), func(name string) bool {
		_, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
		return err != nil
	})
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestEveryLinkBetweenDocumentsLeadsSomewhere(t *testing.T) {
	root, _ := readClone(t)
	for _, name := range documents(t, root) {
		for _, found := range link.FindAllStringSubmatch(withoutCode(readText(t, root, name)), -1) {
			if strings.Contains(found[1], "://") || strings.HasPrefix(found[1], "mailto:") {
				continue
			}
			to, anchor, _ := strings.Cut(found[1], "#")
			target := name
			if to != "" {
				target = path.Join(path.Dir(name), to)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which doesn't exist", name, found[1])
			} else if anchor != "" && !slices.Contains(anchors(readText(t, root, target)), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", name, found[1], target)
			}
		}
	}
}

func TestTheListOfDecisionsHasEveryPageUnderItsTitle(t *testing.T) {
	root, _ := readClone(t)
	list := readText(t, root, "docs/decisions/README.md")
	pages := 0
	for _, name := range documents(t, root) {
		if path.Dir(name) != "docs/decisions" || path.Base(name) == "README.md" {
			continue
		}
		pages++
		title, _, _ := strings.Cut(readText(t, root, name), "\n")
		if line := "- [" + strings.TrimPrefix(title, "# ") + "](" + path.Base(name) + ")\n"; strings.Count(list, line) != 1 {
			t.Errorf("docs/decisions/README.md needs this line once:\n%s", line)
		}
	}
	if pages == 0 {
		t.Error("docs/decisions has no pages")
	}
}

func readText(t *testing.T, root, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// withoutCode removes the blocks between ``` lines, and code between backquotes.
func withoutCode(markdown string) string {
	var kept strings.Builder
	code := false
	for line := range strings.Lines(markdown) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		} else if !code {
			kept.WriteString(line)
		}
	}
	return inlineCode.ReplaceAllString(kept.String(), "")
}

var inlineCode = regexp.MustCompile("`[^`\n]*`")

// anchors lists the names that GitHub gives the headings of a Markdown text:
// lower case, a hyphen for each space, and no other punctuation.
func anchors(markdown string) []string {
	var names []string
	code := false
	for line := range strings.Lines(markdown) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		}
		heading := strings.TrimLeft(line, "#")
		if code || heading == line {
			continue
		}
		names = append(names, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, strings.TrimSpace(heading)))
	}
	return names
}

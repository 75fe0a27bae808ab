package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// CONTRIBUTING.md asks for plain English. These are the parts of it that a
// program can see; its last lines say so.

// picture finds words that paint a picture instead of naming a thing.
var picture = regexp.MustCompile(`(?i)\b(quests?|flights?|crews?|herds?|games?|doors?|tends?|tending)\b`)

// bareSubject finds a sentence whose subject is a clause: the reader learns at its
// end what it is about.
var bareSubject = regexp.MustCompile(`(?:^|[.;:] |\n\n)(?:Who|Whoever|Whom|Whose|What|Whatever) [^.?]*(?:[.]|$)`)

// bareStart finds a comment of a test that begins with such a clause, also beside code and
// without a full stop.
var bareStart = regexp.MustCompile(`^(?i:who|whoever|whom|what|whatever)\b[^?]*$`)

// inBackground finds "behind" where it means "in the background".
var inBackground = regexp.MustCompile(`\b(?:goes on|go on|goes|done|do so|does so|does it|refreshed|freed|released|renewed|saved) behind\b(?: it)?[,.;:]?`)

// unplain returns what is not plain English in a text of several paragraphs.
func unplain(text string) []string {
	var found []string
	for _, paragraph := range strings.Split(text, "\n\n") {
		paragraph = strings.Join(strings.Fields(paragraph), " ")
		for _, rule := range []*regexp.Regexp{picture, bareSubject, inBackground} {
			found = append(found, rule.FindAllString(paragraph, -1)...)
		}
	}
	return found
}

func TestTextThatIsNotPlainEnglishIsFound(t *testing.T) {
	for text, want := range map[string]int{
		"The waiter reads the record again.":                          0,
		"What happens then? The waiter reads.":                        0,
		"Who waited looks again.":                                     1,
		"A lease is short. Whoever holds it renews it.":               1,
		"A quest joins the flight.":                                   2,
		"The token is refreshed behind.":                              1,
		"It is refreshed in the background, behind a proxy.":          0,
		"The fact:\n\nWhat fails here expires by itself.":             1,
		"Keyrings hold keys. Singleflight is a package's name. Tend!": 1,
	} {
		if found := unplain(text); len(found) != want {
			t.Errorf("in %q there should be %d faults, and these are found: %q", text, want, found)
		}
	}
}

func TestACommentOfATestThatBeginsWithAClauseIsFound(t *testing.T) {
	for text, want := range map[string]int{
		"A waiter gets the newest record.":                       0,
		"What happens then? The waiter reads.":                   0,
		"the newest record, whoever wrote it":                    0,
		"What a waiter gets is the newest record.":               1,
		"what a waiter gets":                                     1,
		"A waiter reads.\n\nWhat the waiter gets is the newest.": 1,
	} {
		if found := bareInTest(text); len(found) != want {
			t.Errorf("in %q there should be %d faults, and these are found: %q", text, want, found)
		}
	}
}

// bareInTest returns what begins with a clause in a comment of a test.
func bareInTest(comment string) []string {
	text := strings.Join(strings.Fields(prose(comment)), " ")
	if found := bareStart.FindString(text); found != "" {
		return []string{found}
	}
	return bareSubject.FindAllString(text, -1)
}

func TestDocumentsAndCommentsAreInPlainEnglish(t *testing.T) {
	root, _ := readClone(t)

	for _, name := range documents(t, root) {

		for _, fault := range unplain(paragraphs(readText(t, root, name))) {
			if name == "CONTRIBUTING.md" && picture.MatchString(fault) {
				continue // it lists those words
			}
			t.Errorf("%s: %q", name, fault)
		}
	}
	listed, err := output(t.Context(), command{dir: root}, "git", "ls-files", "--", "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(listed) {
		if slices.Contains(strings.Split(path.Dir(name), "/"), "testdata") {
			continue
		}
		full := filepath.Join(root, filepath.FromSlash(name))
		if _, err := os.Stat(full); err != nil {
			continue // removed, and not committed yet
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, full, nil, parser.ParseComments)
		if err != nil {
			t.Error(err)
			continue
		}
		complain := func(at token.Pos, faults []string) {
			for _, fault := range faults {
				t.Errorf("%s:%d: %q", name, files.Position(at).Line, fault)
			}
		}
		isTest := strings.HasSuffix(name, "_test.go")
		for _, group := range file.Comments {
			if isTest {
				complain(group.Pos(), bareInTest(group.Text()))
			} else {
				complain(group.Pos(), unplain(prose(group.Text())))
			}
		}
		if isTest {
			continue
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.Ident:
				complain(node.Pos(), picture.FindAllString(words(node.Name), -1))
			case *ast.BasicLit:
				if text, err := strconv.Unquote(node.Value); node.Kind == token.STRING && err == nil {
					complain(node.Pos(), append(picture.FindAllString(text, -1), inBackground.FindAllString(text, -1)...))
				}
			}
			return true
		})
	}
}

func TestTestNamesHaveASubject(t *testing.T) {
	root, _ := readClone(t)
	for name := range testNames(t, root) {
		if regexp.MustCompile(`^Test(Who|Whoever|Whom|Whose|What|Whatever)[A-Z]`).MatchString(name) {
			t.Errorf("%s begins with a clause: name the thing, as in TestASaveWhoseAnswerIsLostIsFoundAgain", name)
		}
	}
}

func TestEveryTestThatAScriptOrADocumentRunsExists(t *testing.T) {
	root, _ := readClone(t)
	files := documents(t, root)
	scripts, err := output(t.Context(), command{dir: root}, "git", "ls-files", "--", "scripts", "Makefile", ".ci")
	if err != nil {
		t.Fatal(err)
	}
	all := testNames(t, root)
	for _, name := range append(files, strings.Fields(scripts)...) {
		for _, found := range regexp.MustCompile(`go test [^\n]*-run '?([A-Za-z]\w*)|soak [^\n]*-run (\w+)|-timeout \w+ -run (\w+)`).FindAllStringSubmatch(readText(t, root, name), -1) {
			pattern := found[1] + found[2] + found[3]
			exists := pattern == "xx" // runs no test, but benchmarks
			for test := range all {
				exists = exists || strings.Contains(test, pattern)
			}
			if !exists {
				t.Errorf("%s runs %s, and no test has that in its name", name, pattern)
			}
		}
	}
}

// testNames returns the names of all tests of the repository.
func testNames(t *testing.T, root string) map[string]bool {
	t.Helper()
	listed, err := output(t.Context(), command{dir: root}, "git", "ls-files", "--", "*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, name := range strings.Fields(listed) {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if os.IsNotExist(err) {
			continue // removed, and not committed yet
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names[found[1]] = true
		}
	}
	return names
}

// paragraphs keeps the running text of a Markdown file: no code, headings and
// tables, and the items of lists as paragraphs.
func paragraphs(markdown string) string {
	var kept strings.Builder
	for line := range strings.Lines(withoutCode(markdown)) {
		text := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(text, "#"), strings.HasPrefix(text, "|"):
			kept.WriteString("\n\n")
			continue
		case strings.HasPrefix(text, "- "), strings.HasPrefix(text, "* "), item.MatchString(text):
			_, text, _ = strings.Cut(text, " ")
			kept.WriteString("\n\n")
		}
		kept.WriteString(text + "\n")
	}
	return kept.String()
}

var item = regexp.MustCompile(`^\d+\. `)

// prose keeps the running text of a Go comment: lines that are indented are code.
func prose(comment string) string {
	var kept strings.Builder
	for line := range strings.Lines(comment) {
		if strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "# ") {
			line = "\n"
		}
		kept.WriteString(line)
	}
	return kept.String()
}

// words separates the words of a Go name: maxStaleAge becomes "max Stale Age".
func words(name string) string {
	var separated strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) || r == '_' {
			separated.WriteByte(' ')
		}
		separated.WriteRune(r)
	}
	return separated.String()
}

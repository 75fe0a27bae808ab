package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

// newTestParser makes a parser that prints to shown, and never ends the test.
func newTestParser(t *testing.T) (parser *kong.Kong, shown *bytes.Buffer) {
	t.Helper()
	parser, err := newParser(&commands{})
	if err != nil {
		t.Fatal(err)
	}
	shown = &bytes.Buffer{}
	parser.Stdout, parser.Exit = shown, func(int) {}
	return parser, shown
}

// helpOf is what COMMAND --help shows in a wide terminal.
func helpOf(t *testing.T, command string) string {
	t.Helper()
	t.Setenv("COLUMNS", "200")
	parser, shown := newTestParser(t)
	_, _ = parser.Parse(append(strings.Fields(command), "--help")) // arguments are missing
	return shown.String()
}

// paths are the commands' paths, such as "agent start".
func paths(t *testing.T) (all []string) {
	t.Helper()
	parser, _ := newTestParser(t)
	for _, command := range parser.Model.Leaves(false) {
		all = append(all, command.Path())
	}
	return all
}

func TestTheHelpOfACommandWithADefaultHasTheExamplesOfTheDefault(t *testing.T) {
	for command, example := range map[string]string{"login": "graphtoken login --client-id ID --device-code", "agent": "graphtoken agent --socket"} {
		if shown := helpOf(t, command); !strings.Contains(shown, example) {
			t.Errorf("the help of %s has no example:\n%s", command, shown)
		}
	}
}

func TestTheUsageSaysWhetherACommandIsNeeded(t *testing.T) {
	usages := map[string]string{
		"":       "Usage: graphtoken <command> [flags]",
		"config": "Usage: graphtoken config <command> [flags]",
		"login":  "Usage: graphtoken login [start|finish] [flags]",
		"agent":  "Usage: graphtoken agent [status|stop] [flags]",
	}
	parser, _ := newTestParser(t)
	for _, group := range append(parser.Model.Children, parser.Model.Node) {
		if want, known := usages[group.Path()]; group.Leaf() == known {
			t.Errorf("this test knows no usage of %q", group.Path())
		} else if usage, _, _ := strings.Cut(helpOf(t, group.Path()), "\n"); known && usage != want {
			t.Errorf("the help of %q begins with %s; want %s", group.Path(), usage, want)
		}
	}
}

func TestACommandsOwnFlagsBeginOnTheFirstScreenOfItsHelp(t *testing.T) {
	const screen = 24
	parser, _ := newTestParser(t)
	for _, command := range parser.Model.Leaves(false) {
		lines := strings.Split(helpOf(t, command.Path()), "\n")
		if own := slices.Index(lines, "Flags:"); (own >= 0) != (len(command.Flags) > 0) || own >= screen {
			t.Errorf("the flags of %s begin in line %d:\n%s", command.Path(), own+1, strings.Join(lines, "\n"))
		}
		for _, f := range command.Flags {
			if !f.Hidden && !strings.Contains(strings.Join(lines, "\n"), "--"+f.Name) {
				t.Errorf("the help of %s has no --%s", command.Path(), f.Name)
			}
		}
	}
}

func TestEachCommandNamesTheSharedFlagsThatItHeeds(t *testing.T) {
	commands := paths(t)
	for _, command := range commands {
		page, there := pages[command]
		if !there {
			t.Errorf("pages.go has no page for the command %s: add its groups of shared flags, and an example", command)
		}
		help := helpOf(t, command)
		for _, group := range append(page.heeds, general) {
			if !strings.Contains(help, "\n  "+group+" ") {
				t.Errorf("the help of %s has no group %s:\n%s", command, group, help)
			}
		}
	}
	for path := range pages {
		if !slices.Contains(commands, path) {
			t.Errorf("pages.go has a page for %s, which is no command", path)
		}
	}
}

func TestTheHelpOfTheProgramNamesEachCommandAndTheOtherPages(t *testing.T) {
	help := helpOf(t, "")
	for _, path := range paths(t) {
		if name := strings.Fields(path)[0]; !strings.Contains(help, "\n  "+name+" ") {
			t.Errorf("the help doesn't name %s", name)
		}
	}
	for _, page := range []string{"help flags", "help stores", "help exit-codes", "COMMAND --help"} {
		if !strings.Contains(help, page) {
			t.Errorf("the help doesn't name %s", page)
		}
	}
	if lines := strings.Count(help, "\n"); lines > 55 {
		t.Errorf("the help has %d lines", lines)
	}
}

func TestNoPageOfTheHelpIsWiderThan80Columns(t *testing.T) {
	pages := map[string]string{"the program": helpOf(t, "")}
	for _, path := range append(paths(t), "login", "agent", "config") {
		pages[path] = helpOf(t, path)
	}
	for _, topic := range []string{"flags", "stores", "exit-codes"} {
		parser, shown := newTestParser(t)
		if err := (&helpCommand{Topic: []string{topic}}).Run(parser, newConsole(nil, shown, nil)); err != nil {
			t.Fatal(err)
		}
		pages["help "+topic] = shown.String()
	}
	for name, page := range pages {
		if len(page) < 80 {
			t.Errorf("the page of %s is %q", name, page)
		}
		for line := range strings.Lines(page) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
				t.Errorf("%s: %d columns in %s", name, n, line)
			}
		}
	}
}

func TestEachFlagThatNamesAFileOfASecretWarnsOrRefuses(t *testing.T) {
	known := map[string]bool{"ca": true}                                    // which is public
	for _, where := range []string{"key-file", "flow", "fernet-key-file"} { // a check of their own stands where they are read
		known[where] = true
	}
	for _, f := range new(session).secretFiles() {
		known[strings.TrimPrefix(f.flag, "--")] = true
	}
	parser, _ := newTestParser(t)
	for _, command := range parser.Model.Leaves(false) {
		for _, f := range slices.Concat(parser.Model.Flags, command.Flags) {
			if f.PlaceHolder == "FILE" && !known[f.Name] {
				t.Errorf("--%s of %s names a file: if that has a secret, session.secretFiles must name the flag", f.Name, command.Path())
			}
		}
	}
}

func TestTheSharedFlagsHaveAPageOfTheirOwn(t *testing.T) {
	parser, shown := newTestParser(t)
	flags := parser.Model.Flags
	if err := printSharedFlags(parser); err != nil {
		t.Fatal(err)
	}
	for _, f := range flags {
		if !strings.Contains(shown.String(), "--"+f.Name) {
			t.Errorf("help flags has no --%s:\n%s", f.Name, shown)
		}
	}
	if strings.Contains(shown.String(), "Print a shell's completion script") {
		t.Errorf("help flags lists the commands:\n%s", shown)
	}
}

func TestCompletionAndManualHaveTheFlagsOfEachCommand(t *testing.T) {
	parser, _ := newTestParser(t)
	manual := manualOf(parser.Model.Node)
	words, _ := wordsOf(parser.Model.Node)
	for _, command := range parser.Model.Leaves(false) {
		for _, f := range append(slices.Clone(parser.Model.Flags), command.Flags...) {
			if !f.Hidden && command.Name != "help" && !slices.Contains(words[command.Path()], "--"+f.Name) { // help takes commands
				t.Errorf("the completion of %s has no --%s", command.Path(), f.Name)
			}
			if !f.Hidden && !strings.Contains(manual, roff("--"+f.Name)) {
				t.Errorf("the manual has no --%s", f.Name)
			}
		}
	}
}

// The shell runs the examples with functions in place of the programs. The function for
// graphtoken writes down its arguments.
func TestEachExampleOfTheHelpIsACommandLine(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("SKIPPED: the examples are for a Unix shell, which isn't here")
	}
	const functions = `graphtoken() { printf '%s\000' "$@" >>"$0"; printf '\001' >>"$0"; }; curl() { :; }; man() { :; }; `
	for path, page := range pages {
		for _, example := range page.examples {
			given := filepath.Join(t.TempDir(), "given")
			if out, err := exec.Command(sh, "-c", functions+example, given).CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%s: %v\n%s", example, err, out)
			}
			data, err := os.ReadFile(given)
			if err != nil {
				t.Errorf("%s doesn't run graphtoken", example)
			}
			for line := range strings.SplitSeq(strings.TrimSuffix(string(data), "\001"), "\001") {
				parser, _ := newTestParser(t)
				if _, err := parser.Parse(strings.Split(strings.TrimSuffix(line, "\000"), "\000")); err != nil {
					t.Errorf("an example of %s, %s: %v", path, example, err)
				}
			}
		}
	}
}

func TestTheREADMEAndTheHelpSayTheSameOfTheExitCodes(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	table := make(map[string]string)
	for line := range strings.Lines(string(readme)) {
		if cells := strings.Split(line, "|"); len(cells) == 4 && strings.Trim(cells[1], " 0123456789,") == "" {
			table[strings.TrimSpace(cells[1])] = strings.ReplaceAll(strings.TrimSpace(cells[2]), "`", "")
		}
	}
	for _, e := range exitCodes {
		if !strings.HasPrefix(table[e.code], e.means) {
			t.Errorf("exit code %s: the help says %q, and README.md %q", e.code, e.means, table[e.code])
		}
	}
	if len(exitCodes) < 9 || len(exitCodes) != len(table) {
		t.Errorf("the help lists %d exit codes, and README.md %d", len(exitCodes), len(table))
	}
}

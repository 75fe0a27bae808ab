package core_test

import (
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

func TestPrintableIsOneLineThatATerminalDoesNotObey(t *testing.T) {
	for name, row := range map[string]struct{ text, want string }{
		"plain text stays":                         {"AADSTS50173: Die Anmeldung ist abgelaufen.", "AADSTS50173: Die Anmeldung ist abgelaufen."},
		"line breaks become blanks":                {"one\r\ntwo\tthree\u2028four", "one two three four"},
		"an escape sequence loses its escape":      {"\x1b[31mred\x1b[0m \x9b2J", "[31mred[0m ?2J"},
		"the direction of writing stays":           {"ana\u202e@contoso", "ana@contoso"},
		"what can't be seen is left out":           {"a\u200bb\u00adc\x00d\x7f", "abcd"},
		"what is not UTF-8 becomes question marks": {"a\xffb", "a?b"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := core.Printable(row.text); got != row.want {
				t.Errorf("Printable(%q) = %q, want %q", row.text, got, row.want)
			}
		})
	}
	if got := core.Printable(strings.Repeat("é", 1<<20)); len(got) > 2010 || !strings.HasSuffix(got, "é…") {
		t.Errorf("two megabytes became %d bytes", len(got))
	}
}

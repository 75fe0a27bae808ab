package core

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPrintable is the longest text that Printable returns, in bytes.
const maxPrintable = 2000

// Printable makes text from another program or person (a provider's error, a user name in
// a record) fit for a log and a terminal. It returns one line of at most 2,000 bytes,
// without control characters, escape sequences, invisible characters, and characters that
// change the direction of writing.
func Printable(text string) string {
	cut := len(text) > 4*maxPrintable
	if cut { // no need to look at megabytes
		text = text[:4*maxPrintable]
	}
	text = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if len(text) <= maxPrintable && !cut {
		return text
	}
	text = text[:min(len(text), maxPrintable)]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + "…"
}

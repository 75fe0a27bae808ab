package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/graphtoken/graphtoken/core"
)

// console is where a command reads and writes. Secrets are written by the token command
// alone, to out.
type console struct {
	in       io.Reader
	out, err io.Writer
	log      *slog.Logger

	pauseInterrupts func() (resume func()) // see untilInterrupted
}

func newConsole(in io.Reader, out, err io.Writer) *console {
	return &console{in: in, out: out, err: err, log: slog.New(slog.DiscardHandler)}
}

// beVerbose logs to err from now on.
func (c *console) beVerbose() {
	c.log = slog.New(slog.NewTextHandler(redactor{c.err}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// say writes a message for people; out is for programs. Texts among args go through
// printable, and errors through explain.
func (c *console) say(format string, args ...any) {
	_ = c.ask(format, args...) // nobody is left who could read an error
}

// ask is say for a message that somebody has to read before the command can go on.
func (c *console) ask(format string, args ...any) error {
	shown := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case string:
			shown[i] = printable(a)
		case error:
			shown[i] = explain(a)
		default:
			shown[i] = a
		}
	}
	_, err := fmt.Fprintf(c.err, format+"\n", shown...)
	return err
}

// showLink is ask for an address to open. It shows the whole address, whatever its
// length. It refuses an address that could control a terminal.
func (c *console) showLink(format, address string) error {
	if !isURI(address) {
		return fmt.Errorf("the address of the sign-in page is not a URL: %s", printable(address))
	}
	return c.ask(format, link(address))
}

// isURI reports whether an address is printable ASCII (RFC 3986 section 2), so that it
// can't control a terminal.
func isURI(address string) bool {
	return address != "" && !strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' })
}

// link is an address that showLink has checked.
type link string

// printable makes text fit to be shown that the command didn't write itself: names and
// scopes from records, errors of providers and stores, values of flags. It returns one
// line without characters that control a terminal, and without a key, a token or a URL's
// password.
func printable(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ") // errors.Join's
	return redact(core.Printable(text))
}

// Secrets that flags and variables may contain by mistake: a key, a token (a JWT, RFC
// 7519 section 3.1), and a URL with a password, which may be one of its options. No text
// that has to be shown looks like one of them.
var (
	keyText      = regexp.MustCompile(`gtkey1_[A-Za-z0-9_-]*`)
	jwt          = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}[A-Za-z0-9._-]*`)
	userInfo     = regexp.MustCompile(`://[^\s"']*@`)
	secretOption = regexp.MustCompile(`(?i)([?&][^=&#\s"']*(?:passw|token)[^=&#\s"']*=)[^&#\s]+`) // ?password=…
)

func redact(text string) string {
	text = keyText.ReplaceAllString(text, "gtkey1_…")
	text = jwt.ReplaceAllString(text, "eyJ…")
	text = secretOption.ReplaceAllString(text, "$1…")
	return userInfo.ReplaceAllString(text, "://…@")
}

// redactor removes secrets from the log, which slog's handlers write a line at a time.
// The handlers escape characters that control a terminal.
type redactor struct{ w io.Writer }

func (r redactor) Write(line []byte) (int, error) {
	if _, err := io.WriteString(r.w, redact(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}

// writeJSON writes v for programs. Characters that control a terminal are escaped, which
// changes nothing for a program. encoding/json escapes the first 32 characters alone, and
// U+009B begins an escape sequence too.
func writeJSON(w io.Writer, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	var out []byte
	for _, r := range string(data) {
		if r < utf8.RuneSelf && r != '\x7f' || unicode.IsPrint(r) {
			out = utf8.AppendRune(out, r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, `\u%04x`, unit)
		}
	}
	_, err = w.Write(append(out, '\n'))
	return err
}

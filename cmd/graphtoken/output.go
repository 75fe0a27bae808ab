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

// console is where a command reads and writes. Secrets go nowhere but the
// token command's out.
type console struct {
	in       io.Reader
	out, err io.Writer
	log      *slog.Logger
}

func newConsole(in io.Reader, out, err io.Writer) *console {
	return &console{in: in, out: out, err: err, log: slog.New(slog.DiscardHandler)}
}

// beVerbose logs to err from now on.
func (c *console) beVerbose() {
	c.log = slog.New(slog.NewTextHandler(redactor{c.err}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// say tells people something; programs read out. Texts and errors among args are
// shown by printable.
func (c *console) say(format string, args ...any) {
	_ = c.ask(format, args...) // nobody is left to tell
}

// ask is say for what somebody has to read, or the command can't go on.
func (c *console) ask(format string, args ...any) error {
	shown := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case string:
			shown[i] = printable(a)
		case error:
			shown[i] = printable(a.Error())
		default:
			shown[i] = a
		}
	}
	_, err := fmt.Fprintf(c.err, format+"\n", shown...)
	return err
}

// showLink is ask for an address to open, which is shown whole, whatever its length.
// It refuses one that a terminal could obey: a URI is printable ASCII (RFC 3986
// section 2).
func (c *console) showLink(format, address string) error {
	if address == "" || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("the address of the sign-in page is not a URL: %s", printable(address))
	}
	return c.ask(format, link(address))
}

// link is an address that showLink has checked.
type link string

// printable is how a command shows text that it didn't write itself: names and
// scopes from records, errors of providers and stores, values of flags. It is one
// line that a terminal has nothing to obey in, and has no key, no token and no
// password of a URL in it.
func printable(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), "\n", "; ") // errors.Join's
	return redact(core.Printable(text))
}

// What flags and variables may be given by mistake: a key, a token (a JWT, RFC 7519
// section 3.1), and a URL with a password. None looks like anything that has to be
// shown.
var (
	keyText  = regexp.MustCompile(`gtkey1_[A-Za-z0-9_-]*`)
	jwt      = regexp.MustCompile(`eyJ[A-Za-z0-9_-]{8,}[A-Za-z0-9._-]*`)
	userInfo = regexp.MustCompile(`://[^\s"']*@`)
)

func redact(text string) string {
	text = keyText.ReplaceAllString(text, "gtkey1_…")
	text = jwt.ReplaceAllString(text, "eyJ…")
	return userInfo.ReplaceAllString(text, "://…@")
}

// redactor redacts what is written, which slog's handlers do a line at a time; the
// handlers escape what a terminal would obey.
type redactor struct{ w io.Writer }

func (r redactor) Write(line []byte) (int, error) {
	if _, err := io.WriteString(r.w, redact(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}

// writeJSON writes v for programs. Texts stay what they are to a program, and are
// escaped where a terminal would obey them: encoding/json does that for the
// first 32 characters alone, and U+009B begins an escape sequence too.
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

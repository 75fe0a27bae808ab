package account

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/graphtoken/graphtoken/account/internal/terminal"
	"github.com/graphtoken/graphtoken/core"
)

// Console returns a Prompt for a user at a console. It shows the address of the sign-in
// page on out, and reads the address at which the browser ends from in, for example
// os.Stdin. The browser may run anywhere. The application must be registered with the
// redirect URL: NativeClientURL, unless the Config or the AuthOptions name another.
//
// If in is a terminal, the user can paste an address of any length, which terminals by
// themselves don't allow. The address isn't shown, because it contains the code. The
// terminal has its former state again when the sign-in ends, also after a signal. A
// program that handles signals ends its context by them. Quotes, angle brackets, blanks
// and empty lines, which come along when an address is copied, are removed. At a
// terminal, a user who pastes another text is asked again.
//
// No other code may read from in meanwhile. Nothing after the address is read.
func Console(in io.Reader, out io.Writer) Prompt { return console{in, out} }

type console struct {
	in  io.Reader
	out io.Writer
}

// SignIn implements [Prompt].
func (c console) SignIn(ctx context.Context, t *Attempt) error {
	address, flow, err := t.AuthURL(ctx)
	if err != nil {
		return err
	}
	if err := showable(address); err != nil {
		return fmt.Errorf("account: sign in: %w", err)
	}
	question := "Open this address in a browser:\n\n" + address + "\n\n" +
		"When you have signed in, the browser ends at an address with a code in it, on a page that may be blank.\n" +
		"Paste that address here"
	for {
		redirect, atTerminal, err := c.ask(ctx, question)
		if err != nil {
			return fmt.Errorf("account: sign in: %w", err)
		}
		err = t.SignIn(ctx, flow, pasted(redirect))
		switch {
		case atTerminal && errors.Is(err, errNoCode):
			question = "That address has no code in it.\nPaste the whole address at which the browser ended"
		case atTerminal && errors.Is(err, ErrStateMismatch):
			question = "That address is another sign-in's.\nPaste the one at which the browser ended this time"
		default:
			return err
		}
	}
}

// ask returns the text that the user pastes, and whether in is a terminal.
func (c console) ask(ctx context.Context, question string) (line string, atTerminal bool, err error) {
	line, err = terminal.ReadLine(ctx, c.in, func(hidden bool) error {
		atTerminal = hidden
		note := ""
		if hidden {
			note = " (it isn't shown)"
		}
		_, err := fmt.Fprint(c.out, question+note+", and press Enter:\n")
		return err
	})
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("the input ended before an address was pasted: %w", err)
	}
	return line, atTerminal, err
}

// pasted removes the characters that come along when an address is copied from a mail, a
// chat or a program's source.
func pasted(text string) string {
	return strings.TrimFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || strings.ContainsRune("\"'`<>“”„‘’‚«»‹›", r)
	})
}

// showable refuses an address with characters that control a terminal. A URI is printable
// ASCII (RFC 3986 section 2).
func showable(address string) error {
	if address == "" || strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("the provider's address is not a URL: %s", core.Printable(address))
	}
	return nil
}

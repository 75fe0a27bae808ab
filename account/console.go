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
// page on out, and reads the address at which the browser ends from in, such as
// os.Stdin. The browser may run on any machine. The application's registration must list
// the redirect URL, which is NativeClientURL unless the Config or the AuthOptions name
// another.
//
// At a terminal the address may have any length (a terminal alone cuts it off), and isn't
// shown, because the code is in it. When the sign-in ends, also by a signal, the terminal
// is as it was before. A program that handles signals must end the context when one comes.
// A user at a terminal who pastes something else is asked again.
//
// Quotes, angle brackets, blanks and empty lines around the address are removed. Nothing
// beyond the address is read. Nobody else may read from in meanwhile. If in ends before an
// address comes, the error is ErrNoAddress.
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

// ReadRedirect asks on out for the address at which the browser ended, and reads it from in
// as a [Console] prompt does. It is for a sign-in that one process begins with
// [Account.AuthURL] and another finishes with [Account.SignIn]. The error is ErrNoAddress if
// in ends before an address comes.
func ReadRedirect(ctx context.Context, in io.Reader, out io.Writer) (redirect string, err error) {
	line, _, err := console{in, out}.ask(ctx, "Paste the address at which the browser ended")
	if err != nil {
		return "", fmt.Errorf("account: sign in: %w", err)
	}
	return pasted(line), nil
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
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = fmt.Errorf("%w: the input ended before one came", ErrNoAddress)
	case errors.Is(err, terminal.ErrBlank):
		err = fmt.Errorf("%w: the line is blank", ErrNoAddress)
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

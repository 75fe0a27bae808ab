package account_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

var httpsAddress = regexp.MustCompile(`https://\S+`)

// user is somebody at a console: each question that the program shows is answered, as
// long as there are answers. Then the input ends.
type user struct {
	t       *testing.T
	idp     *entra.Server
	answers []func(redirect string) string

	shown    bytes.Buffer
	answered int // of shown
	redirect string
	typed    bytes.Buffer
}

// Write is the program's output.
func (u *user) Write(text []byte) (int, error) {
	u.shown.Write(text)
	question := u.shown.String()[u.answered:]
	if !strings.Contains(question, "press Enter:") || len(u.answers) == 0 {
		return len(text), nil
	}
	u.answered = u.shown.Len()
	if address := httpsAddress.FindString(question); address != "" {
		var err error
		if u.redirect, err = u.idp.SignIn(address); err != nil {
			u.t.Error(err)
		}
	}
	u.typed.WriteString(u.answers[0](u.redirect))
	u.answers = u.answers[1:]
	return len(text), nil
}

// Read is the program's input.
func (u *user) Read(b []byte) (int, error) { return u.typed.Read(b) }

func pastes(before, after string) func(string) string {
	return func(redirect string) string { return before + redirect + after }
}

func types(text string) func(string) string { return func(string) string { return text } }

func TestAUserPastesTheAddressAtAConsole(t *testing.T) {
	for what, answer := range map[string]func(string) string{
		"as it is":                            pastes("", "\n"),
		"as the last line of the input":       pastes("", ""),
		"in double quotes":                    pastes(`"`, "\"\n"),
		"in single quotes":                    pastes("'", "'\n"),
		"in typographic quotes":               pastes("“", "”\n"),
		"in angle brackets, as mails have it": pastes("<", ">\r\n"),
		"among blanks":                        pastes(" \t", "  \n"),
		"among empty lines":                   pastes("\n\n \n", "\n\n"),
		"after a byte order mark":             pastes("\ufeff", "\n"),
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t)
			a := newAccount(t, idp, newBackend(t), account.Config{})
			u := &user{t: t, idp: idp, answers: []func(string) string{answer}}
			if err := a.Authenticate(t.Context(), account.Console(u, u), account.AuthOptions{LoginHint: bo}); err != nil {
				t.Fatalf("%v, after\n%s", err, u.shown.String())
			}
			if who := a.User(); who.Username != bo {
				t.Errorf("%q has signed in", who.Username)
			}
			if _, err := a.TokenSource().Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAConsoleWithoutAnAddressIsAnError(t *testing.T) {
	const canary = "secret-canary"
	for what, row := range map[string]struct {
		answers []func(string) string
		is      error // nil for any
	}{
		"the input ends":                {nil, account.ErrNoAddress},
		"the address is another's":      {[]func(string) string{types("https://localhost/?code=" + canary + "&state=" + canary + "\n")}, account.ErrStateMismatch},
		"there is no code in the input": {[]func(string) string{types(canary + "\n")}, nil},
	} {
		t.Run(what, func(t *testing.T) {
			idp := start(t)
			a := newAccount(t, idp, newBackend(t), account.Config{})
			u := &user{t: t, idp: idp, answers: row.answers}
			err := a.Authenticate(t.Context(), account.Console(u, u), account.AuthOptions{LoginHint: ana})
			if err == nil || row.is != nil && !errors.Is(err, row.is) {
				t.Errorf("the error is %v, want %v", err, row.is)
			}
			if err != nil && strings.Contains(err.Error(), canary) || strings.Contains(u.shown.String(), canary) {
				t.Errorf("what was pasted is shown: %v, %s", err, u.shown.String())
			}
			if n := idp.Grants().ByType[entra.AuthorizationCode].Received; n != 0 {
				t.Errorf("%d codes were sent", n)
			}
		})
	}
}

func TestAUserWhoDeclinesAtAConsoleIsARefusal(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{})
	var refused string
	u := &user{t: t, idp: idp, answers: []func(string) string{func(redirect string) string {
		at, err := url.Parse(redirect)
		if err != nil {
			t.Error(err)
			return ""
		}
		refused = (&url.URL{Scheme: at.Scheme, Host: at.Host, Path: at.Path, RawQuery: url.Values{"error": {"access_denied"}, "state": {at.Query().Get("state")}}.Encode()}).String()
		return refused + "\n"
	}}}
	err := a.Authenticate(t.Context(), account.Console(u, u), account.AuthOptions{LoginHint: ana})
	var refusal *msal.Error
	if !errors.As(err, &refusal) || refusal.Code != "access_denied" {
		t.Errorf("the error is %v", err)
	}
}

func TestAConsoleEndsWithItsContext(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{})
	in, _ := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	out := writer(func(text []byte) (int, error) { cancel(); return len(text), nil })
	if err := a.Authenticate(ctx, account.Console(in, out), account.AuthOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestAPromptThatCannotBeShownIsAnError(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{})
	broken := errors.New("broken pipe")
	out := writer(func([]byte) (int, error) { return 0, broken })
	for what, prompt := range map[string]account.Prompt{
		"Console":          account.Console(strings.NewReader("x\n"), out),
		"DeviceCodePrompt": account.DeviceCodePrompt(out),
	} {
		if err := a.Authenticate(t.Context(), prompt, account.AuthOptions{}); !errors.Is(err, broken) {
			t.Errorf("%s: the error is %v", what, err)
		}
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(text []byte) (int, error) { return w(text) }

func TestARedirectCanBeReadForASignInOfAnotherProcess(t *testing.T) {
	var shown bytes.Buffer
	redirect, err := account.ReadRedirect(t.Context(), strings.NewReader("\n  <https://host/?code=x&state=y>\nmore"), &shown)
	if err != nil || redirect != "https://host/?code=x&state=y" || !strings.Contains(shown.String(), "press Enter") {
		t.Errorf("the redirect is %q, %v; the question is %q", redirect, err, shown.String())
	}
	if _, err := account.ReadRedirect(t.Context(), strings.NewReader(""), io.Discard); !errors.Is(err, account.ErrNoAddress) || strings.Contains(err.Error(), "EOF") {
		t.Errorf("without an address the error is %v", err)
	}
}

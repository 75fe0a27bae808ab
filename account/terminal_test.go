//go:build linux || darwin

package account_test

import (
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/graphtoken/graphtoken/account"
)

// sitDown puts a user before a new terminal. getUp returns what the terminal has shown.
func sitDown(t *testing.T, u *user) (tty *os.File, getUp func() string) {
	t.Helper()
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		buf := make([]byte, 4096)
		for {
			n, err := keyboard.Read(buf)
			if err != nil {
				return
			}
			_, _ = u.Write(buf[:n])
			if _, err := u.typed.WriteTo(keyboard); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	return tty, func() string {
		_ = tty.Close()
		<-gone
		_ = keyboard.Close()
		return u.shown.String()
	}
}

// A terminal by itself cuts a line after 4,095 characters, or 1,024.
func TestAnAddressOf6000CharactersIsPastedIntoATerminal(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{})
	u := &user{t: t, idp: idp, answers: []func(string) string{func(redirect string) string {
		at, err := url.Parse(redirect)
		if err != nil {
			t.Error(err)
			return ""
		}
		q := at.Query()
		q.Set("session_state", strings.Repeat("x", 6000-len(redirect)-len("&session_state=")))
		at.RawQuery = q.Encode()
		if n := len(at.String()); n != 6000 {
			t.Errorf("the address has %d characters", n)
		}
		return at.String() + "\r"
	}}}
	tty, getUp := sitDown(t, u)
	if err := a.Authenticate(t.Context(), account.Console(tty, tty), account.AuthOptions{LoginHint: ana}); err != nil {
		t.Error(err)
	}
	if who := a.User(); who.Username != ana {
		t.Errorf("%q has signed in", who.Username)
	}
	if strings.Contains(getUp(), "code=") {
		t.Error("the code is on the screen")
	}
}

func TestAMistakeAtATerminalIsAskedForAgain(t *testing.T) {
	idp := start(t)
	a := newAccount(t, idp, newBackend(t), account.Config{})
	u := &user{t: t, idp: idp, answers: []func(string) string{
		types("what?\r"),
		types("https://login.microsoftonline.com/common/oauth2/nativeclient\r"),
		types("https://login.microsoftonline.com/common/oauth2/nativeclient?code=c&state=s\r"),
		pastes("", "\r"),
	}}
	tty, getUp := sitDown(t, u)
	if err := a.Authenticate(t.Context(), account.Console(tty, tty), account.AuthOptions{LoginHint: ana}); err != nil {
		t.Error(err)
	}
	shown := getUp()
	if n := strings.Count(shown, "press Enter:"); n != 4 || !strings.Contains(shown, "no code in it") || !strings.Contains(shown, "another sign-in's") {
		t.Errorf("it asked %d times, want 4:\n%s", n, shown)
	}
}

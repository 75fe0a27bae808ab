//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// note is a hook that appends a line with its variables to a file.
func note(t *testing.T) (command string, lines func() []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "notes")
	command = `printf '%s|%s|%s\n' "$GRAPHTOKEN_USER" "$GRAPHTOKEN_RECORD" "$GRAPHTOKEN_EXPIRES_ON$GRAPHTOKEN_ENDS_ON" >>'` + file + `'`
	return command, func() []string {
		data, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return strings.Fields(string(data))
	}
}

func quietHooks(cmd *keepAliveCommand) *hooks {
	return newHooks(cmd, newConsole(strings.NewReader(""), io.Discard, io.Discard))
}

func userNamed(name string, err error) account.KeepAliveUser {
	return account.KeepAliveUser{Key: "k", Account: tokencache.Account{Username: name, HomeAccountID: name}, Err: err}
}

func TestEachHookIsToldTheUserTheRecordAndTheTime(t *testing.T) {
	command, lines := note(t)
	h := quietHooks(&keepAliveCommand{OnRefresh: command, OnReauth: command, EndsWithin: 14 * 24 * time.Hour})
	h.begin()
	renewed := userNamed("renewed", nil)
	renewed.ExpiresOn = time.Unix(1_800_000_000, 0)
	h.tell(t.Context(), renewed)
	h.tell(t.Context(), userNamed("left", core.ErrReauthRequired))
	soon, later := userNamed("soon", errors.New("an outage")), userNamed("later", errors.New("an outage"))
	soon.Ends, later.Ends = time.Now().Add(13*24*time.Hour), time.Now().Add(15*24*time.Hour)
	h.tell(t.Context(), soon)
	h.tell(t.Context(), later)
	h.tell(t.Context(), userNamed("unknown", errors.New("an outage")))
	got := lines()
	if len(got) != 3 || got[0] != "renewed|k|1800000000" || got[1] != "left|k|" || !strings.HasPrefix(got[2], "soon|k|1") {
		t.Errorf("the hooks were told %q", got)
	}
}

func TestADaemonTellsOfAUserOnce(t *testing.T) {
	left := userNamed("left", core.ErrReauthRequired)
	soon := userNamed("left", errors.New("an outage"))
	soon.Ends = time.Now().Add(time.Hour)
	renewed := userNamed("left", nil)
	for _, c := range []struct {
		name   string
		cmd    keepAliveCommand
		runs   []account.KeepAliveUser
		expect int
	}{
		{"of one who must sign in", keepAliveCommand{}, []account.KeepAliveUser{left, left, left}, 1},
		{"of one who soon has to, and again when the token has ended", keepAliveCommand{}, []account.KeepAliveUser{soon, soon, left, left}, 2},
		{"of one who signed in, and must again", keepAliveCommand{}, []account.KeepAliveUser{left, renewed, left}, 2},
		{"or again after the time of --remind-in", keepAliveCommand{RemindIn: time.Nanosecond}, []account.KeepAliveUser{left, left, left}, 3},
		{"or when that time isn't over yet, not again", keepAliveCommand{RemindIn: time.Hour}, []account.KeepAliveUser{left, left}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			command, lines := note(t)
			c.cmd.OnReauth, c.cmd.EndsWithin = command, 24*time.Hour
			h := quietHooks(&c.cmd)
			for _, u := range c.runs {
				h.begin()
				h.tell(t.Context(), u)
				h.end()
			}
			if got := lines(); len(got) != c.expect {
				t.Errorf("the hook was told %q", got)
			}
		})
	}
}

func TestAHookThatFailsIsSaidAndRunsAgainNextTime(t *testing.T) {
	said := new(strings.Builder)
	h := newHooks(&keepAliveCommand{OnReauth: "exit 3"}, newConsole(strings.NewReader(""), io.Discard, said))
	for range 2 {
		h.begin()
		h.tell(t.Context(), userNamed("left", core.ErrReauthRequired))
		h.end()
	}
	if strings.Count(said.String(), "--on-reauth for left: exit status 3\n") != 2 {
		t.Errorf("said was %q", said)
	}
}

func TestAHookHasATimeLimit(t *testing.T) {
	said := new(strings.Builder)
	h := newHooks(&keepAliveCommand{OnRefresh: "exec sleep 600"}, newConsole(strings.NewReader(""), io.Discard, said))
	h.limit = 50 * time.Millisecond
	h.tell(t.Context(), userNamed("ana", nil))
	if !strings.Contains(said.String(), "--on-refresh for ana: signal: killed") {
		t.Errorf("said was %q", said)
	}
}

func TestAHooksVariablesAreNoCode(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	h := quietHooks(&keepAliveCommand{OnRefresh: `printf %s "$GRAPHTOKEN_USER" >user`})
	const name = "$(touch injected)`touch injected`;touch injected&'\""
	h.tell(t.Context(), userNamed(name, nil))
	if got, err := os.ReadFile("user"); string(got) != name {
		t.Errorf("the user is %q, %v", got, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "injected" }) {
		t.Errorf("the shell ran the user's name: %v, %v", entries, err)
	}
}

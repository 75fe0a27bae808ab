package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
)

// hooks runs the commands that keepalive is told to run for users.
type hooks struct {
	*keepAliveCommand
	c     *console
	limit time.Duration // for one hook

	told map[reauth]time.Time // when --on-reauth ran for whom
	seen map[reauth]bool      // by the present run
}

// reauth is what --on-reauth is run for: a user who must sign in again, or soon has to.
type reauth struct {
	record, user string
	soon         bool
}

func newHooks(cmd *keepAliveCommand, c *console) *hooks {
	return &hooks{keepAliveCommand: cmd, c: c, limit: time.Minute, told: make(map[reauth]time.Time)}
}

// begin begins a run through the store.
func (h *hooks) begin() { h.seen = make(map[reauth]bool) }

// end ends a run that saw the whole store. A user who has signed in meanwhile is forgotten, and
// is told again when the next refresh token ends.
func (h *hooks) end() {
	for r := range h.told {
		if !h.seen[r] {
			delete(h.told, r)
		}
	}
}

// tell runs the hook for a user, if there is one. A hook that fails doesn't stop the
// others. It runs again in the next run.
func (h *hooks) tell(ctx context.Context, u account.KeepAliveUser) {
	must := errors.Is(u.Err, core.ErrReauthRequired)
	soon := u.Err != nil && !must && !u.Ends.IsZero() && time.Until(u.Ends) < h.EndsWithin
	switch {
	case u.Err == nil:
		h.run(ctx, "--on-refresh", h.OnRefresh, u, "GRAPHTOKEN_EXPIRES_ON", u.ExpiresOn)
	case must || soon:
		r := reauth{u.Key, u.Account.HomeAccountID, soon}
		h.seen[r] = true
		if last, told := h.told[r]; told && (h.RemindIn == 0 || time.Since(last) < h.RemindIn) {
			return
		}
		if h.run(ctx, "--on-reauth", h.OnReauth, u, "GRAPHTOKEN_ENDS_ON", u.Ends) {
			h.told[r] = time.Now()
		}
	}
}

// run runs a hook, and reports whether it succeeded. The user's name comes in a variable
// and not in the command, where a shell would read it as code.
func (h *hooks) run(ctx context.Context, flag, command string, u account.KeepAliveUser, variable string, at time.Time) bool {
	if command == "" {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, h.limit)
	defer cancel()
	hook := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	if runtime.GOOS == "windows" {
		hook = exec.CommandContext(ctx, "cmd", "/C", command)
	}
	seconds := ""
	if !at.IsZero() {
		seconds = strconv.FormatInt(at.Unix(), 10)
	}
	hook.Env = append(programEnvironment(os.Environ()), "GRAPHTOKEN_USER="+inVariable(nameOf(u.Account)), "GRAPHTOKEN_RECORD="+inVariable(u.Key), variable+"="+seconds)
	hook.Stdout, hook.Stderr = h.c.err, h.c.err
	err := hook.Run()
	if err != nil {
		h.c.say("%s for %s: %v", flag, nameOf(u.Account), err)
	}
	return err == nil
}

// inVariable makes text fit for a hook's variable. Windows's shell replaces %NAME% by the
// text before it looks for commands, so characters that would begin one are left out there.
func inVariable(text string) string {
	text = printable(text)
	if runtime.GOOS != "windows" {
		return text
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(`&|<>^%!"()`, r) {
			return '_'
		}
		return r
	}, text)
}

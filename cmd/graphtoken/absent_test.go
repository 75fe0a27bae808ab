package main_test

import (
	"strings"
	"testing"
)

// nowhere is a port at which nobody listens.
const nowhere = "127.0.0.1:1"

// A record is absent, or nobody is signed in there: exit code 3. A script tells that from a
// user who is there and has to sign in again: exit code 4.
func TestEveryCommandThatFindsNoTokensEndsWithExitCode3(t *testing.T) {
	const always, ifAbsent = true, false // when the command fails
	for _, c := range []struct {
		command string
		fails   bool
	}{
		{"status", always},
		{"status --user " + ana, always},
		{"inspect", always},
		{"inspect --user " + ana, always},
		{"token", always},
		{"token --user " + ana, always},
		{"token --client-id app", always},
		{"token --client-id app --user " + ana, always},
		{"refresh", always},
		{"refresh --client-id app", always},
		{"whoami --graph https://" + nowhere, always},
		{"exec -- true", always},
		{"exec --client-id app -- true", always},
		{"agent", always},
		{"logout", always},
		{"logout --user " + ana, always},
		{"logout --all", ifAbsent},
		{"keepalive", always},
		{"export there.json", always},
		{"list", ifAbsent},
		{"purge", ifAbsent},
		{"copy store/tokens.json there.json", ifAbsent},
		{"rewrap --key-file keys --plaintext-reads", ifAbsent},
	} {
		t.Run(c.command, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.ok("keygen", "keys")
			args := strings.Fields(c.command)
			if r := w.fails(3, args...); !strings.Contains(r.err, "no record") || !strings.Contains(r.err, "graphtoken") {
				t.Errorf("of a record that is absent, the message is\n%s", r.err)
			}
			w.holdData([]byte(`{"AccessToken":{},"RefreshToken":{}}`))
			want := 0
			if c.fails {
				want = 3
			}
			if r := w.run(args...); r.code != want {
				t.Errorf("of a record without tokens: exit code %d, want %d\n%s", r.code, want, r.err)
			}
		})
	}
}

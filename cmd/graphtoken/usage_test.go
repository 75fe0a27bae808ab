package main_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestEveryCommandEndsWithExitCode2ForAnUnknownFlagOrAnArgumentTooMany(t *testing.T) {
	w := newWorld(t)
	for line := range strings.Lines(w.ok("man")) {
		usage, isCommand := strings.CutPrefix(strings.ReplaceAll(line, `\-`, "-"), ".SS ")
		if words, _, takesFlags := strings.Cut(usage, " ["); isCommand && (takesFlags || strings.Contains(words, "<")) {
			name, _, _ := strings.Cut(words, " <")
			command := strings.Fields(name)
			w.fails(2, append(command, "--nonsense")...)
			if name != "import" && !strings.HasPrefix(name, "exec") && name != "config set" { // which take any number
				w.fails(2, append(command, "one", "two", "three")...)
			}
		}
	}
	if !strings.Contains(w.shown.String(), "graphtoken keepalive: ") && !strings.Contains(w.shown.String(), "See graphtoken keepalive --help") {
		t.Errorf("the manual's commands weren't called:\n%s", w.shown.String())
	}
}

func TestAValueThatCannotBeUsedIsExitCode2InEveryCommand(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { busy.Close() }) // the rows run after this function
	_, port, _ := net.SplitHostPort(busy.Addr().String())
	mistakes := []struct{ args, says string }{
		{"login --tenant a/b", "--tenant"},
		{"login start --tenant ../b", "--tenant"},
		{"logout --tenant ../b", "--tenant"},
		{"token --tenant ../b", "--tenant"},
		{"login --authority contoso", "--authority"},
		{"token --authority contoso", "--authority"},
		{"login --redirect-url nonsense", "--redirect-url"},
		{"login --redirect-url http://[::1", "--redirect-url"},
		{"login start --redirect-url nonsense", "--redirect-url"},
		{"login --no-browser --port " + port, "--port " + port + ": "},
		{"login --port=-1", "--port"},
		{"login --timeout=-5m", "--timeout"},
		{"login start --timeout 0s", "--timeout"},
		{"login --keychain a/../b", "--keychain"},
		{"login start --flow blocked/flow", "--flow"},
		{"login start --flow .", "--flow"},
		{"login finish --flow .", "--flow"},
		{"login finish --flow blocked", "--flow"},
		{"login finish --flow blocked/flow", "--flow"},
		{"token --min-validity=-5m", "--min-validity"},
		{"token --claims nonsense", "--claims"},
		{"whoami --graph nonsense", "--graph"},
		{"exec --nonsense", "--nonsense"},
		{"exec --", "name the program"},
		{"agent --idle-timeout=-1h", "--idle-timeout"},
		{"agent --socket blocked", "--socket"},
		{"agent --socket blocked/socket", "--socket"},
		{"keepalive --lifetime=-1h", "--lifetime"},
		{"purge --unused 0", "--unused"},
		{"config set nonsense x", "nonsense"},
		{"keygen blocked/key", "blocked/key"},
		{"help nonsense", "nonsense"},
		{"doctor gopher://hole", "gopher"},
		{"copy gopher://hole there", "FROM"},
		{"copy here gopher://hole", "TO"},
		{"import gopher://hole", "FROM"},
		{"list --store gopher://hole", "--store"},
		{"conformance --store gopher://hole", "--store"},
	}
	if runtime.GOOS == "linux" { // elsewhere there is a keychain, which would keep the key
		mistakes = append(mistakes, []struct{ args, says string }{
			{"login --keychain nobody", "can't be kept in the keychain: "},
			{"rewrap --keychain nobody", "--keychain"},
		}...)
	}
	for _, c := range mistakes {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.set("DBUS_SESSION_BUS_ADDRESS=unix:path="+filepath.Join(w.dir, "nobody"), "GRAPHTOKEN_CLIENT_ID="+entra.PublicClient)
			signedIn(w) // so that nothing but the mistake is wrong
			if err := os.WriteFile(filepath.Join(w.dir, "blocked"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if r := w.fails(2, strings.Fields(c.args)...); !strings.Contains(r.err, c.says) {
				t.Errorf("the message doesn't say %q:\n%s", c.says, r.err)
			}
		})
	}
}

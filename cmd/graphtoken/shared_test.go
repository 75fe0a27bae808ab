package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// The shared flags, in groups that commands honour together.
const (
	place      = "store record"
	whom       = "user client-id client-credentials tenant authority"
	asProof    = "client-secret-file certificate federated-token-file"
	encryption = "key-file shared-key-file keychain keychain-file plaintext-reads"
	looking    = place + " " + whom + " " + encryption
	everything = looking + " " + asProof + " scope ca"
)

// honours is a command, and the shared flags that it honours. It refuses all others.
type honours struct {
	command  []string
	honoured string
}

var honouring = []honours{
	{[]string{"login", "now", "--console"}, everything},
	{[]string{"login", "start"}, without(everything, "client-credentials")},
	{[]string{"login", "finish"}, without(everything, "client-id client-credentials tenant authority scope")},
	{[]string{"logout"}, looking},
	{[]string{"status"}, looking},
	{[]string{"list"}, looking},
	{[]string{"inspect"}, looking},
	{[]string{"whoami"}, without(everything, "client-credentials")},
	{[]string{"token"}, everything},
	{[]string{"refresh"}, everything},
	{[]string{"exec", "--", "PROGRAM"}, everything},
	{[]string{"agent", "start", "--idle-timeout", "1ms"}, everything},
	{[]string{"agent", "status"}, ""},
	{[]string{"agent", "stop"}, ""},
	{[]string{"copy", "FROM", "TO"}, encryption},
	{[]string{"import", "FROM"}, looking},
	{[]string{"export", "TO", "--format", "python-o365-2.0"}, looking + " scope"},
	{[]string{"purge"}, without(looking, "client-id client-credentials")},
	{[]string{"keepalive"}, without(everything, "user client-credentials scope")},
	{[]string{"keygen", "FILE"}, ""},
	{[]string{"rewrap"}, place + " " + encryption},
	{[]string{"doctor"}, place + " authority " + encryption + " " + asProof + " ca"},
	{[]string{"conformance"}, "store"},
	{[]string{"config", "set", "user", "x"}, ""},
	{[]string{"config", "get", "user"}, ""},
	{[]string{"config", "unset", "user"}, ""},
	{[]string{"config", "list"}, ""},
	{[]string{"completion", "bash"}, ""},
	{[]string{"man"}, ""},
	{[]string{"version"}, ""},
	{[]string{"help"}, ""},
}

func without(flags, some string) string {
	return strings.Join(slices.DeleteFunc(strings.Fields(flags), func(f string) bool { return slices.Contains(strings.Fields(some), f) }), " ")
}

// given are arguments with a shared flag.
func (w *world) given(flag string) []string {
	switch flag {
	case "client-credentials", "shared-key-file", "keychain-file", "plaintext-reads":
		return []string{"--" + flag}
	case "user":
		return []string{"--user", "nobody@contoso.com"}
	case "authority":
		return []string{"--authority", "https://third.example/common"}
	case "store":
		return []string{"--store", "nosuch://x"}
	}
	return []string{"--" + flag, "value-of-" + flag}
}

// commandsAndFlags returns the paths of all commands, and the shared flags, as the manual
// has them.
func (w *world) commandsAndFlags() (commands, flags []string) {
	manual := strings.ReplaceAll(w.ok("man"), `\-`, "-")
	before, after, _ := strings.Cut(manual, ".SH SHARED FLAGS")
	for _, m := range regexp.MustCompile(`(?m)^\.SS ([a-z]+(?: [a-z]+)?)`).FindAllStringSubmatch(before, -1) {
		commands = append(commands, m[1])
	}
	after, _, _ = strings.Cut(after, ".SS General")
	for _, m := range regexp.MustCompile(`(?m)^\.B .*?--([a-z-]+)`).FindAllStringSubmatch(after, -1) {
		flags = append(flags, m[1])
	}
	return commands, flags
}

func (row honours) path() string {
	if len(row.command) > 1 && slices.Contains([]string{"login", "agent", "config"}, row.command[0]) {
		return row.command[0] + " " + row.command[1]
	}
	return row.command[0]
}

func TestEachSharedFlagOnEachCommandIsHonouredOrRefused(t *testing.T) {
	w := newWorld(t)
	commands, flags := w.commandsAndFlags()
	if len(flags) < 17 || len(commands) < 20 {
		t.Fatalf("the manual has the commands %v and the flags %v", commands, flags)
	}
	for _, path := range commands {
		if !slices.ContainsFunc(honouring, func(row honours) bool { return row.path() == path }) {
			t.Errorf("this test has no row for the command %s", path)
		}
	}
	for _, row := range honouring {
		for _, flag := range flags {
			if slices.Contains(strings.Fields(row.honoured), flag) {
				continue
			}
			args := append(w.given(flag), row.command...)
			if r := w.run(args...); r.code != 2 || !strings.Contains(r.err, "--"+flag+" can't be honoured here") {
				t.Errorf("%v: exit code %d\n%.300s", args, r.code, r.err)
			}
		}
	}
}

func TestASharedFlagThatIsHonouredHasAnEffect(t *testing.T) {
	for _, row := range honouring {
		if row.honoured == "" {
			continue
		}
		t.Run(row.path(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.login(ana)
			if row.path() == "purge" {
				w.age(100 * 24 * time.Hour)
			}
			if row.path() != "doctor" { // which asks the provider for the time
				w.forgetEnvironment()
			}
			w.set("GRAPHTOKEN_STORE=")
			trial, outcomes := w.newTrial(row), make(map[string]string)
			for _, flag := range strings.Fields(row.honoured) {
				if row.path() == "login finish" && flag == "user" {
					continue // TestALoginInTwoProcessesThatCanNotEndSaysWhatToDo has it
				}
				before, with := trial.arguments(flag)
				without, known := outcomes[strings.Join(before, " ")]
				if !known {
					without = trial.outcome(before)
					outcomes[strings.Join(before, " ")] = without
					if again := trial.outcome(before); again != without {
						t.Errorf("the test of --%s can't be repeated:\n%.700s\nand\n%.700s", flag, without, again)
					}
				}
				if trial.outcome(slices.Concat(before, with)) == without {
					t.Errorf("--%s has no effect: %.700s", flag, without)
				}
			}
		})
	}
}

// trial runs one command with and without flags, on the same record and provider.
type trial struct {
	*world
	row          honours
	record       []byte
	keys, shared string // files of keys
	second       string // another record beside the record
	other        string // a store that doesn't exist yet
}

func (w *world) newTrial(row honours) *trial {
	w.t.Helper()
	trial := &trial{world: w, row: row, shared: filepath.Join(w.dir, "shared-keys"), second: filepath.Join(filepath.Dir(w.file()), "second.json"), other: filepath.Join(w.dir, "other", "tokens.json")}
	trial.keys, _ = newKeyFile(w.t, w)
	record, err := os.ReadFile(w.file())
	if err != nil {
		w.t.Fatal(err)
	}
	trial.record = record
	keys, err := os.ReadFile(trial.keys)
	if err != nil {
		w.t.Fatal(err)
	}
	w.idp.SetReuseGrace(time.Hour) // the same refresh token is used again and again
	for name, data := range map[string][]byte{trial.shared: keys, filepath.Join(w.dir, "foreign"): record} {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	return trial
}

// arguments are those of two runs whose outcomes the flag makes different.
func (l *trial) arguments(flag string) (before, with []string) {
	before, with = []string{"--store", l.file()}, l.given(flag)
	switch flag {
	case "store":
		before = nil
		if l.row.path() == "conformance" { // the suite takes long
			before = []string{"--store", "other://x"}
		}
	case "record":
		before, with = []string{"--store", filepath.Dir(l.file()) + "/"}, []string{"--record", filepath.Base(l.file())}
	case "shared-key-file":
		before = append(before, "--key-file", l.shared)
	case "plaintext-reads":
		before = append(before, "--key-file", l.keys)
	}
	switch l.row.path() {
	case "copy":
		before = slices.DeleteFunc(before, func(arg string) bool { return arg == "--store" || arg == l.file() })
	case "rewrap":
		if !strings.Contains(encryption, flag) {
			before = append(before, "--plaintext-reads", "--key-file", l.keys)
		}
	}
	return before, with
}

// outcome is what a command shows, its exit code, what the provider was asked, and the
// scopes of the tokens in the record afterwards.
func (l *trial) outcome(args []string) string {
	for _, made := range []string{filepath.Dir(l.other), filepath.Join(l.config(), "tokens.json"), filepath.Join(l.dir, "exported"), filepath.Join(filepath.Dir(l.file()), "o365_token.txt")} {
		if err := os.RemoveAll(made); err != nil {
			l.t.Fatal(err)
		}
	}
	l.holdData(l.record)
	if err := os.WriteFile(l.second, l.record, 0o600); err != nil {
		l.t.Fatal(err)
	}
	command := slices.Clone(l.row.command)
	switch l.row.path() {
	case "login finish":
		start := []string{"login", "start", "--flow", "flow", "--client-id", entra.PublicClient}
		if slices.Contains(args, "--store") {
			start = append(start, "--store", args[slices.Index(args, "--store")+1])
		}
		l.run(start...)
		command = append(command, "--flow", "flow")
	case "exec":
		command = []string{"exec", "--", binary, "--version"}
	case "whoami":
		command = append(command, "--graph", l.idp.URL())
	case "copy":
		command[1], command[2] = l.file(), l.other
	case "import":
		command[1] = filepath.Join(l.dir, "foreign")
	case "export":
		command[1] = filepath.Join(l.dir, "exported")
	}
	asked := len(l.idp.Grants().Log)
	words := len(strings.Fields(l.row.path()))
	r := l.run(slices.Concat(command[:words], args, command[words:])...)
	var requests []string
	for _, request := range l.idp.Grants().Log[asked:] {
		requests = append(requests, fmt.Sprint(request.Grant, " ", request.ClientID, " ", request.Tenant, " ", request.Outcome))
	}
	data, _ := os.ReadFile(l.file()) // encrypted, or gone: that is an outcome, too
	targets := regexp.MustCompile(`"target": *"[^"]*"`).FindAllString(string(data), -1)
	return repeatable(fmt.Sprintf("%s\n%s\nexit code %d\n%s\n%s", r.out, r.err, r.code, strings.Join(requests, "\n"), strings.Join(targets, "\n")))
}

// repeatable takes out what is new each time: random texts, times and numbers.
func repeatable(text string) string {
	text = regexp.MustCompile(`[A-Za-z0-9_-]{24,}(\.[A-Za-z0-9_-]{24,})*`).ReplaceAllString(text, "X")
	text = regexp.MustCompile(`([0-9]+(\.[0-9]+)?(µs|ms|s|m|h))+`).ReplaceAllString(text, "N")
	text = regexp.MustCompile(`[0-9]{2,}`).ReplaceAllString(text, "N")
	lines := strings.Split(text, "\n")
	slices.Sort(lines) // records come in any order
	return strings.Join(lines, "\n")
}

//go:build unix

package main_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/agent/client"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit"
)

// program is a program under exec that has written its environment, and waits for its
// input to end.
type program struct {
	*process
	variables map[string]string
}

func (w *world) exec(args ...string) *program {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "environment")
	p := &program{w.start(append(append([]string{"exec"}, args...), "--", "sh", "-c", `env > "$0.part" && mv "$0.part" "$0" && cat`, file)...), make(map[string]string)}
	testkit.Retry(w.t, "the program", func() error {
		data, err := os.ReadFile(file)
		for line := range strings.SplitSeq(string(data), "\n") {
			name, value, _ := strings.Cut(line, "=")
			p.variables[name] = value
		}
		return err
	})
	return p
}

// identity asks for a token as Azure's SDKs do.
func (p *program) identity(t *testing.T) (status int, token string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, p.variables["IDENTITY_ENDPOINT"]+"?api-version=2019-08-01&resource=https://graph.microsoft.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-IDENTITY-HEADER", p.variables["IDENTITY_HEADER"])
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	token, _ = answer["access_token"].(string)
	return resp.StatusCode, token
}

func TestAProgramFindsTokensAndNoRefreshToken(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	w.set("GRAPHTOKEN_CLIENT_SECRET=the-secret-of-the-application", "UNRELATED=stays", "GRAPHTOKEN_STORE=postgres://host/db?password=the-secret-of-the-database")
	p := w.exec("--store", w.file())
	w.set("GRAPHTOKEN_STORE=" + w.file())
	stored := w.ok("token")
	if p.variables["GRAPHTOKEN_ACCESS_TOKEN"] != stored || p.variables["UNRELATED"] != "stays" {
		t.Errorf("the program's environment has another token: %v", p.variables["GRAPHTOKEN_ACCESS_TOKEN"] == "")
	}
	if status, token := p.identity(t); status != http.StatusOK || token != stored {
		t.Errorf("the managed identity answered %d", status)
	}
	agent := client.New(p.variables[client.SocketVariable])
	if token, err := agent.Token(w.ctx, client.Request{User: ana}); err != nil || token.AccessToken != stored {
		t.Errorf("the agent answered %v", err)
	}
	c, _, err := w.store().Load(w.ctx, "tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	refresh, _ := c.RefreshToken(tokencache.Query{Username: ana})
	for name, value := range p.variables {
		if strings.Contains(value, refresh.Secret.Reveal()) || strings.Contains(value, "the-secret-of") {
			t.Errorf("a secret is in %s", name)
		}
	}
	p.stdin.Close()
	if r := p.end(w); r.code != 0 {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
	if _, err := agent.Token(w.ctx, client.Request{}); err == nil {
		t.Error("the agent outlives its program")
	}
	other := w.exec()
	other.variables["IDENTITY_HEADER"] = p.variables["IDENTITY_HEADER"]
	if status, _ := other.identity(t); status != http.StatusUnauthorized {
		t.Errorf("the header of a program that has ended: %d", status)
	}
	other.stdin.Close()
	other.end(w)
}

func TestExecEndsAsItsProgramDoes(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	for script, code := range map[string]int{"exit 0": 0, "exit 7": 7, "exit 130": 130} {
		if r := w.run("exec", "--", "sh", "-c", script); r.code != code || r.err != "" {
			t.Errorf("%s: exit code %d, %q", script, r.code, r.err)
		}
	}
	for name, code := range map[string]int{"no-such-program": 127, "./tokens": 126} {
		if err := os.WriteFile(filepath.Join(w.dir, "tokens"), []byte("#!/bin/sh\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		w.fails(code, "exec", "--", name)
	}
	w.fails(2, "exec")
	cmd := w.command("exec", "--", "sh", "-c", "kill -TERM $$")
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGTERM {
		t.Errorf("a program that was ended by SIGTERM: %v", err)
	}
	if out := w.ok("exec", "--", "echo", "--user", "-x", "$HOME"); out != "--user -x $HOME" {
		t.Errorf("the program's arguments came as %q", out)
	}
}

func TestASignalToExecReachesItsProgram(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1} {
		w := newWorld(t)
		w.login(ana)
		p := w.start("exec", "--", "sh", "-c", `trap 'echo caught; exit 9' TERM INT HUP USR1; echo ready >&2; while :; do sleep 0.1; done`)
		p.line(t, "ready")
		if err := p.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		if r := p.end(w); r.code != 9 || r.out != "caught\n" {
			t.Errorf("%v: exit code %d, %q, %s", s, r.code, r.out, r.err)
		}
	}
}

// As nohup starts it.
func TestASignalThatExecWasStartedToIgnoreIsIgnoredByItsProgram(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	cmd := exec.CommandContext(w.ctx, "sh", "-c", `trap '' HUP; exec "$0" exec -- sh -c 'kill -HUP $$; echo lives'`, binary)
	cmd.Env, cmd.Dir = w.env, w.dir
	if out, err := cmd.CombinedOutput(); err != nil || string(out) != "lives\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestAProgramStartsWithTheSignalsOfAShell(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a process's ignored signals are read in /proc")
	}
	w := newWorld(t)
	w.login(ana)
	// Every program here ignores the signals that this test's own parent ignores.
	own, err := exec.Command("grep", "SigIgn", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	if out := w.ok("exec", "--", "grep", "SigIgn", "/proc/self/status"); out != strings.TrimSuffix(string(own), "\n") {
		t.Errorf("it ignores signals: %s, and without exec: %s", out, own)
	}
}

func TestAnAgentServesUntilItIsStopped(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	stored := w.ok("token")
	socket := filepath.Join(w.dir, "run", "agent.sock")
	p := w.start("agent", "--socket", socket)
	p.line(t, "Listening")
	w.set("GRAPHTOKEN_AGENT="+socket, "GRAPHTOKEN_STORE=file:///nowhere/at/all")
	if token := w.ok("token"); token != stored {
		t.Error("token printed another token than the agent's")
	}
	w.ok("agent", "status")
	w.fails(2, "token", "--scope", "Sites.ReadWrite.All") // which the user did not sign in for
	w.fails(3, "token", "--user", bo)
	w.fails(5, "token", "--store", "file:///dev/null/x") // an explicit flag asks no agent
	w.ok("agent", "stop")
	if r := p.end(w); r.code != 0 {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
	w.fails(3, "agent", "status")
	if _, err := os.Stat(socket); err == nil {
		t.Error("the socket is still there")
	}
}

func TestAnIdleAgentEnds(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	if r := w.run("agent", "--socket", filepath.Join(w.dir, "run", "agent.sock"), "--idle-timeout", "50ms"); r.code != 0 {
		t.Errorf("exit code %d: %s", r.code, r.err)
	}
}

// systemd hands a listening socket over as file 3.
func TestAnAgentTakesTheSocketOfAServiceManager(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	path := filepath.Join(w.dir, "service.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(w.ctx, "sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" agent`, binary)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = w.env, w.dir, []*os.File{file}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	asked := client.New(path)
	var token client.Token
	testkit.Retry(t, "the agent", func() (err error) {
		token, err = asked.Token(w.ctx, client.Request{})
		return err
	})
	if token.AccessToken != w.ok("token") {
		t.Error("it answered another token")
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := os.Stat(path); err != nil {
		t.Error("the service manager's socket was removed")
	}
}

func TestATokenIsPrintedInEachFormat(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	token := w.ok("token")
	for format, want := range map[string]string{
		"text":    token,
		"header":  "Authorization: Bearer " + token,
		"xoauth2": base64.StdEncoding.EncodeToString([]byte("user=" + ana + "\x01auth=Bearer " + token + "\x01\x01")),
	} {
		if got := w.ok("token", "--format", format); got != want {
			t.Errorf("%s is %q", format, strings.ReplaceAll(got, token, "TOKEN"))
		}
	}
	var az client.Token
	if err := json.Unmarshal([]byte(w.ok("token", "--format", "json")), &az); err != nil || az.AccessToken != token || az.User != ana || time.Until(az.ExpiresOn) <= 0 {
		t.Errorf("json is %+v, %v", az, err)
	}
	out, err := exec.Command("sh", "-c", w.ok("token", "--format", "env")+"\necho \"$GRAPHTOKEN_ACCESS_TOKEN\"").Output()
	if err != nil || strings.TrimSpace(string(out)) != token {
		t.Errorf("env is no shell's: %v", err)
	}
	w.fails(2, "token", "--format", "yaml")
	w.fails(2, "token", "--claims", "no claims")
	if other := w.ok("token", "--claims", base64.StdEncoding.EncodeToString([]byte(`{"access_token":{"nbf":{"essential":true}}}`))); other == token {
		t.Error("a claims challenge was answered with the old token")
	}
	if again := w.ok("token", "--min-validity", "30m"); again == "" {
		t.Error("no token is valid for half an hour")
	}
}

//go:build unix

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// asking are the commands that ask the provider, and save its answer.
var asking = []struct {
	name   string
	grant  string
	before func(w *world)                        // prepares the record
	start  func(t *testing.T, w *world) *process // up to the request
	stored tokencache.Query                      // whose tokens must be there afterwards
}{
	{"a refresh", entra.Refresh, signedIn, func(_ *testing.T, w *world) *process { return w.start("refresh") }, tokencache.Query{Username: ana}},
	{"a token that expired", entra.Refresh, signedInAndExpired, func(_ *testing.T, w *world) *process { return w.start("token") }, tokencache.Query{Username: ana}},
	{"a login that was pasted", entra.AuthorizationCode, func(*world) {}, func(t *testing.T, w *world) *process {
		p := w.start("login", "--client-id", entra.PublicClient, "--scope", "User.Read")
		redirect, err := w.idp.SignInAs(ana, p.line(t, "https://"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintln(p.stdin, redirect); err != nil {
			t.Fatal(err)
		}
		return p
	}, tokencache.Query{Username: ana}},
	{"a login with a browser", entra.AuthorizationCode, func(*world) {}, func(t *testing.T, w *world) *process {
		p := w.start("login", "--listen", "--client-id", entra.PublicClient, "--scope", "User.Read")
		address := p.line(t, "https://")
		browsed := make(chan error, 1)
		go func() { browsed <- w.idp.BrowseAs(ana)(address) }() // until the page says how it went
		t.Cleanup(func() {
			if err := <-browsed; err != nil {
				t.Error(err)
			}
		})
		return p
	}, tokencache.Query{Username: ana}},
	{"an application's login", entra.ClientCredentials, func(w *world) {
		w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient, "GRAPHTOKEN_CLIENT_SECRET="+entra.ConfidentialSecret)
	}, func(_ *testing.T, w *world) *process { return w.start("login", "--client-credentials") }, tokencache.Query{App: true}},
}

func TestNoSignalLosesTheProvidersAnswer(t *testing.T) {
	for _, signal := range []struct {
		name string
		sent []syscall.Signal
		code int
	}{
		{"an interrupt", []syscall.Signal{syscall.SIGINT}, 130},
		{"a termination, and a second one", []syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, 130},
		{"Ctrl-\\", []syscall.Signal{syscall.SIGQUIT}, 130},
		{"a closed terminal, which says so twice", []syscall.Signal{syscall.SIGHUP, syscall.SIGHUP}, 130},
		{"a service manager, which sends two kinds", []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP}, 130},
		{"a broken pipe", []syscall.Signal{syscall.SIGPIPE}, 0},
	} {
		for _, c := range asking {
			t.Run(c.name+"/"+signal.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				c.before(w)
				gate := w.idp.HoldReply(c.grant)
				defer gate.Open()
				p := c.start(t, w)
				if err := gate.Await(w.ctx, 1); err != nil {
					t.Fatal(err)
				}
				for i, s := range signal.sent {
					if err := p.Process.Signal(s); err != nil {
						t.Fatal(err)
					}
					if i == 0 && s != syscall.SIGPIPE {
						p.line(t, "interrupted") // it has arrived
					}
				}
				gate.Open()
				r := p.end(w)
				if r.code != signal.code {
					t.Errorf("exit code %d, want %d\n%s", r.code, signal.code, r.err)
				}
				w.mustGoOn(c.stored)
			})
		}
	}
}

// mustGoOn checks that the record has the last tokens that the provider gave.
func (w *world) mustGoOn(q tokencache.Query) {
	w.t.Helper()
	given := w.idp.Grants()
	w.ok("token")
	if now := w.idp.Grants(); now.Total.Received != given.Total.Received {
		w.t.Error("the token that the provider had given is not in the store: another had to be asked for")
	}
	w.expire(q)
	w.ok("token")
	if g := w.idp.Grants(); g.ReuseDetected != 0 {
		w.t.Errorf("%d spent tokens were presented", g.ReuseDetected)
	}
}

func TestTheSecondInterruptEndsTheCommandAtOnce(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	gate := w.idp.HoldReply(entra.Refresh)
	defer gate.Open()
	p := w.start("refresh")
	if err := gate.Await(w.ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.line(t, "interrupted")
	if err := p.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.end(w)
	if status := p.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("the command ended with %v", p.ProcessState)
	}
}

func TestASignalThatWasIgnoredAtTheStartStaysIgnored(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	gate := w.idp.HoldReply(entra.Refresh)
	defer gate.Open()
	cmd := exec.CommandContext(w.ctx, "sh", "-c", `trap "" HUP; exec "$0" refresh`, binary) // as nohup does
	cmd.Env, cmd.Dir = w.env, w.dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := gate.Await(w.ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	gate.Open()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	w.mustGoOn(tokencache.Query{Username: ana})
}

// `refresh -v 2>&1 | head -1`: the reader has gone by the time the answer is there.
func TestAClosedPipeLosesNoTokens(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		code int
	}{
		{"a refresh whose log nobody reads is done", []string{"refresh", "--verbose"}, 0},
		{"a token that nobody reads is not printed", []string{"token", "--verbose"}, 141},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			signedInAndExpired(w)
			gate := w.idp.HoldReply(entra.Refresh)
			defer gate.Open()
			reader, writer, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd := w.command(c.args...)
			cmd.Stdout, cmd.Stderr = writer, writer
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			writer.Close()
			if err := gate.Await(w.ctx, 1); err != nil {
				t.Fatal(err)
			}
			reader.Close()
			gate.Open()
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != c.code {
				t.Errorf("the command ended with %v, want exit code %d", cmd.ProcessState, c.code)
			}
			w.mustGoOn(tokencache.Query{Username: ana})
		})
	}
}

// A login whose address nobody can read would wait for nobody.
func TestALoginThatNobodyCanReadIsNotBegun(t *testing.T) {
	for _, args := range [][]string{nil, {"--listen"}} {
		w := newWorld(t)
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		reader.Close()
		cmd := w.command(append([]string{"login", "--client-id", entra.PublicClient}, args...)...)
		stdin, err := cmd.StdinPipe() // stays open
		if err != nil {
			t.Fatal(err)
		}
		cmd.Stderr = writer
		if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("login %v ended with %v, want exit code 1", args, cmd.ProcessState)
		}
		stdin.Close()
		writer.Close()
		if _, err := os.Stat(filepath.Join(w.dir, "store", "tokens.json")); err == nil {
			t.Error("something was stored")
		}
	}
}

package main_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// begin runs login start, and returns the address that it prints.
func (w *world) begin(args ...string) (address string) {
	w.t.Helper()
	return w.ok(append([]string{"login", "start", "--client-id", entra.PublicClient, "--scope", "User.Read", "--scope", "Mail.Read"}, args...)...)
}

// visit is a user's browser, and returns the address at which it ends.
func (w *world) visit(username, address string) (redirect string) {
	w.t.Helper()
	redirect, err := w.idp.SignInAs(username, address)
	if err != nil {
		w.t.Fatal(err)
	}
	return redirect
}

// finish runs login finish, and pastes an address into it.
func (w *world) finish(redirect string, args ...string) result {
	w.t.Helper()
	p := w.start(append([]string{"login", "finish"}, args...)...)
	fmt.Fprintln(p.stdin, redirect)
	p.stdin.Close()
	return p.end(w)
}

func TestALoginCanBeInTwoProcesses(t *testing.T) {
	for name, args := range map[string][]string{"with a file of its own": nil, "with the file that is named": {"--flow", "ticket-17"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			address := w.begin(args...)
			if strings.Contains(address, "\n") || !strings.HasPrefix(address, "https://") {
				t.Errorf("login start prints more than the address: %s", address)
			}
			w.forgetEnvironment()
			w.fails(3, "status")
			if r := w.finish(w.visit(ana, address), args...); r.code != 0 || !strings.Contains(r.err, "Signed in as "+ana) {
				t.Fatalf("exit code %d\n%s", r.code, r.err)
			}
			w.rememberEnvironment()
			token := w.ok("token")
			w.ok("token", "--scope", "Calendars.Read")
			if w.ok("token") != token {
				t.Error("the scopes of login start aren't the default")
			}
			w.expire(tokencache.Query{Username: ana, Scopes: []string{"Mail.Read"}})
			w.ok("token")
		})
	}
}

func TestTheFileOfALoginInTwoProcessesIsTheUsersAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows' files have no modes")
	}
	w := newWorld(t)
	address := w.begin()
	found, err := filepath.Glob(filepath.Join(w.config(), "login", "*.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the files are %v, %v", found, err)
	}
	if info, err := os.Stat(found[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(found[0], 0o644); err != nil {
		t.Fatal(err)
	}
	if r := w.finish(w.visit(ana, address)); r.code != 1 || !strings.Contains(r.err, "chmod 600") {
		t.Errorf("a file that others can read: exit code %d\n%s", r.code, r.err)
	}
	if err := os.Mkdir(filepath.Join(w.dir, "everybodys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(w.dir, "everybodys"), 0o777); err != nil { // the umask doesn't take part
		t.Fatal(err)
	}
	if r := w.fails(2, "login", "start", "--client-id", entra.PublicClient, "--flow", "everybodys/flow"); strings.Contains(r.out, "https://") {
		t.Errorf("login start asks the user: %s", r.out)
	}
}

func TestALoginInTwoProcessesThatCanNotEndSaysWhatToDo(t *testing.T) {
	for _, c := range []struct {
		name string
		try  func(w *world) result
		code int
		want string
		wait bool // the sign-in is still waited for
	}{
		{"nothing was begun", func(w *world) result {
			return w.finish("https://localhost/?code=x&state=y")
		}, 4, "graphtoken login start", false},
		{"another record than at the start", func(w *world) result {
			redirect := w.visit(ana, w.begin())
			return w.finish(redirect, "--store", "elsewhere/tokens.json")
		}, 4, "graphtoken login start", true},
		{"another record than at the start, with the file named", func(w *world) result {
			redirect := w.visit(ana, w.begin("--flow", "flow"))
			return w.finish(redirect, "--flow", "flow", "--store", "elsewhere/tokens.json")
		}, 2, "name the same ones", false},
		{"the user came too late", func(w *world) result {
			return w.finish(w.visit(ana, w.begin("--timeout", "1ns")))
		}, 4, "graphtoken login start", false},
		{"the address is another sign-in's", func(w *world) result {
			other := w.visit(ana, w.begin())
			w.begin() // replaces the first
			return w.finish(other)
		}, 4, "still waited for", true},
		{"what is pasted is no address", func(w *world) result {
			w.begin()
			return w.finish("what?")
		}, 4, "still waited for", true},
		{"nothing is pasted", func(w *world) result {
			w.begin()
			p := w.start("login", "finish")
			p.stdin.Close()
			return p.end(w)
		}, 4, "the input ended before one came", true},
		{"a blank line is pasted", func(w *world) result {
			w.begin()
			p := w.start("login", "finish")
			defer p.stdin.Close()
			if _, err := io.WriteString(p.stdin, "\n"); err != nil {
				w.t.Fatal(err)
			}
			return p.end(w)
		}, 4, "the line is blank", true},
		{"it was finished before", func(w *world) result {
			redirect := w.visit(ana, w.begin())
			if r := w.finish(redirect); r.code != 0 {
				w.t.Fatal(r.err)
			}
			defer w.ok("logout")
			return w.finish(redirect)
		}, 4, "graphtoken status", false},
		{"another user signs in than login start was told", func(w *world) result {
			return w.finish(w.visit(bo, w.begin("--user", ana)))
		}, 4, "Nothing was saved", false},
		{"another user signs in than login finish is told", func(w *world) result {
			return w.finish(w.visit(bo, w.begin()), "--user", ana)
		}, 4, "Nothing was saved", false},
		{"the file isn't one of login start", func(w *world) result {
			if err := os.WriteFile(filepath.Join(w.dir, "flow"), []byte("{}"), 0o600); err != nil {
				w.t.Fatal(err)
			}
			return w.finish("", "--flow", "flow")
		}, 2, "isn't a file that login start has made", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			if r := c.try(w); r.code != c.code || !strings.Contains(r.err, c.want) {
				t.Errorf("exit code %d, want %d\n%s", r.code, c.code, r.err)
			}
			w.fails(3, "status")
			if waiting, _ := filepath.Glob(filepath.Join(w.config(), "login", "*.json")); (len(waiting) == 1) != c.wait {
				t.Errorf("sign-ins that wait: %v", waiting)
			}
		})
	}
}

func TestALoginInTwoProcessesIsForOneRecordWhateverTheWorkingDirectory(t *testing.T) {
	w := newWorld(t)
	redirect := w.visit(ana, w.begin("--store", "store/tokens.json"))
	here := w.dir
	w.dir = filepath.Join(here, "elsewhere")
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if r := w.finish(redirect, "--store", "store/tokens.json"); r.code != 4 {
		t.Errorf("a record of the same relative path: exit code %d\n%s", r.code, r.err)
	}
	if r := w.finish(redirect, "--store", filepath.Join(here, "store", "tokens.json")); r.code != 0 {
		t.Errorf("the same record: exit code %d\n%s", r.code, r.err)
	}
	w.dir = here
}

func TestALoginStartThatCanNotBeSavedAsksNobody(t *testing.T) {
	w := newWorld(t)
	for args, code := range map[string]int{"--store=env://T": 5, "--client-credentials": 2, "--client-secret-file=none": 2} {
		if r := w.fails(code, "login", "start", "--client-id", entra.PublicClient, args); strings.Contains(r.out, "https://") {
			t.Errorf("%s: the user is asked: %s", args, r.out)
		}
	}
}

func TestALoginFinishThatCanNotBeSavedSpendsNoCode(t *testing.T) {
	w := newWorld(t)
	redirect := w.visit(ana, w.begin())
	if err := os.MkdirAll(filepath.Dir(w.file()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.file(), []byte("no record"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.finish(redirect); r.code != 5 {
		t.Errorf("exit code %d\n%s", r.code, r.err)
	}
	if err := os.Remove(w.file()); err != nil {
		t.Fatal(err)
	}
	if r := w.finish(redirect); r.code != 0 { // the code is still good
		t.Errorf("exit code %d\n%s", r.code, r.err)
	}
}

func TestAConfidentialClientSignsAUserInWithTwoProcesses(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_CLIENT_SECRET=" + entra.ConfidentialSecret)
	address := w.ok("login", "start", "--client-id", entra.ConfidentialClient, "--scope", "User.Read")
	if r := w.finish(w.visit(ana, address)); r.code != 0 {
		t.Fatalf("exit code %d\n%s", r.code, r.err)
	}
	w.ok("token")
}

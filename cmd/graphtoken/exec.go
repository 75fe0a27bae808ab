package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/agent"
	"github.com/graphtoken/graphtoken/agent/client"
	"github.com/graphtoken/graphtoken/core"
)

// execCommand runs a program with an agent of its own. The program finds a managed identity
// where Azure's SDKs look for one, so that DefaultAzureCredential works in any language.
type execCommand struct {
	Command []string `arg:"" passthrough:"" help:"The program and its arguments, after --."`
}

// The exit codes of shells for a program that can't be run.
const (
	exitNotRunnable     = 126
	exitProgramNotFound = 127
)

// exited is the result of a program that exec ran.
type exited struct {
	code   int
	signal os.Signal // that ended it; nil for none
}

func (e *exited) Error() string { return fmt.Sprintf("the program ended with exit code %d", e.code) }

func (cmd *execCommand) Run(ctx context.Context, s *session, c *console) error {
	command := cmd.Command
	switch {
	case len(command) > 0 && command[0] == "--":
		command = command[1:]
	case len(command) > 0 && strings.HasPrefix(command[0], "-"):
		return usageError("there is no flag " + command[0] + "; a program of that name stands after --")
	}
	if len(command) == 0 {
		return usageError("name the program to run: graphtoken exec -- PROGRAM ARGUMENTS")
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return notRunnable(err)
	}
	return s.withAccount(ctx, c, func(o *opened, a *account.Account) error { return execute(ctx, o, a, c, path, command) })
}

// execute runs the program at path with an agent for the account.
func execute(ctx context.Context, o *opened, a *account.Account, c *console, path string, command []string) error {
	token, err := a.TokenSource().Token(ctx)
	if err != nil && !errors.Is(err, core.ErrRefreshedNotSaved) {
		return o.blame(ctx, err)
	}
	o.keepDefault(ctx)
	handedOut, err := o.newAgent(a, c, nil)
	if err != nil {
		return err
	}
	unix, tcp, remove, err := listenForProgram()
	if err != nil {
		return err
	}
	defer remove()
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- serveAll(serving, handedOut, unix, tcp) }()
	program := &exec.Cmd{
		Path: path, Args: command,
		Stdin: c.in, Stdout: c.out, Stderr: c.err,
		Env: append(programEnvironment(os.Environ()),
			append(identityVariables(tcp, handedOut),
				client.SocketVariable+"="+unix.Addr().String(),
				"GRAPHTOKEN_ACCESS_TOKEN="+token.Secret.Reveal())...),
	}
	if ctx.Err() == nil { // nobody has interrupted so far
		err = runProgram(program, c.pauseInterrupts)
	}
	stop()
	if failed := <-served; failed != nil {
		c.say("the agent of the program failed: %v", failed)
	}
	return err
}

// listenForProgram listens at a socket in a directory of this user's own, and at a
// loopback port.
func listenForProgram() (unix, tcp net.Listener, remove func(), err error) {
	base := os.TempDir()
	if len(base)+len("/graphtoken-4294967295/agent.sock") > agent.MaxSocketPath && runtime.GOOS != "windows" {
		base = "/tmp"
	}
	dir, err := os.MkdirTemp(base, "graphtoken-") // of mode 0700
	if err != nil {
		return nil, nil, nil, err
	}
	remove = func() { _ = os.RemoveAll(dir) }
	if unix, err = agent.ListenUnix(filepath.Join(dir, "agent.sock")); err != nil {
		remove()
		return nil, nil, nil, err
	}
	if tcp, err = agent.ListenLoopback(); err != nil {
		unix.Close()
		remove()
		return nil, nil, nil, err
	}
	return unix, tcp, remove, nil
}

// programEnvironment is this process's environment without graphtoken's own secrets, and
// without what would have an SDK prefer another credential of the same kind.
func programEnvironment(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(variable string) bool {
		name, value, _ := strings.Cut(variable, "=")
		switch strings.ToUpper(name) {
		case "GRAPHTOKEN_CLIENT_SECRET", certificatePassword, "GRAPHTOKEN_KEYS", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "IMDS_ENDPOINT", "IDENTITY_SERVER_THUMBPRINT",
			"MSI_ENDPOINT", "MSI_SECRET", client.SocketVariable, "GRAPHTOKEN_ACCESS_TOKEN":
			return true
		case "GRAPHTOKEN_STORE": // with a password
			u, err := url.Parse(value)
			return err != nil || u.User != nil || secretOption.MatchString(value)
		}
		return false
	})
}

func notRunnable(err error) error {
	code := exitNotRunnable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		code = exitProgramNotFound
	}
	return &unrunnable{err, code}
}

// unrunnable is a program that can't be run.
type unrunnable struct {
	err  error
	code int
}

func (u *unrunnable) Error() string { return u.err.Error() }
func (u *unrunnable) Unwrap() error { return u.err }

// advice implements advisor.
func (u *unrunnable) advice() string {
	return "Name a program that is in PATH, or its path: graphtoken exec -- ./PROGRAM"
}

// resultOf is how a program ended.
func resultOf(program *exec.Cmd, err error) error {
	var ended *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &ended):
		code, signal := statusOf(program.ProcessState)
		return &exited{cmp.Or(code, 1), signal}
	}
	return notRunnable(err)
}

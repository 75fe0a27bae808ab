package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/agent"
	"github.com/graphtoken/graphtoken/agent/client"
	"github.com/graphtoken/graphtoken/core"
)

// agentCommand is the agent: a process that keeps the refresh token, and hands out access
// tokens.
type agentCommand struct {
	Start  agentStart  `cmd:"" default:"withargs" help:"Hand out access tokens to the programs of this user, until interrupted."`
	Status agentStatus `cmd:"" help:"Tell whether an agent is running."`
	Stop   agentStop   `cmd:"" help:"End the running agent."`
}

type agentStart struct {
	Socket      string        `placeholder:"PATH" help:"The Unix socket to listen at. By default one in the user's runtime directory; a service manager may hand one over (LISTEN_FDS)."`
	TCP         bool          `name:"tcp" env:"-" help:"Listen at a loopback port, too, as a managed identity for Azure's SDKs, and print its address and secret."`
	IdleTimeout time.Duration `env:"-" placeholder:"DURATION" help:"End when nobody has asked for this long."`
}

func (cmd *agentStart) Run(ctx context.Context, s *session, c *console) error {
	if cmd.IdleTimeout < 0 {
		return usageError("--idle-timeout is not negative, such as 8h")
	}
	return s.withAccount(ctx, c, func(o *opened, a *account.Account) error { return cmd.serve(ctx, o, a, c) })
}

func (cmd *agentStart) serve(ctx context.Context, o *opened, a *account.Account, c *console) error {
	// The user must be signed in now, and not only when somebody asks.
	if _, err := a.TokenSource().Token(ctx); err != nil && !errors.Is(err, core.ErrRefreshedNotSaved) {
		return o.blame(ctx, err)
	}
	o.keepDefault(ctx)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	handedOut, err := o.newAgent(a, c, cancel)
	if err != nil {
		return err
	}
	l, err := cmd.listen()
	if err != nil {
		return err
	}
	served := &idle{Listener: l, timeout: cmd.IdleTimeout, end: cancel}
	defer served.watch(ctx)()
	listeners := []net.Listener{served}
	c.say("Listening at %s. Programs find the agent by GRAPHTOKEN_AGENT.", l.Addr().String())
	if cmd.TCP {
		tcp, err := agent.ListenLoopback()
		if err != nil {
			return err
		}
		listeners = append(listeners, tcp)
		for _, variable := range identityVariables(tcp, handedOut) {
			fmt.Fprintln(c.out, variable)
		}
	}
	return serveAll(ctx, handedOut, listeners...)
}

// newAgent returns the agent of one account, by the user's name. Its scopes are those that the
// user signed in for.
func (o *opened) newAgent(a *account.Account, c *console, stop func()) (*agent.Agent, error) {
	user := cmp.Or(o.holder, "application")
	return agent.New(map[string]agent.Sources{user: a}, agent.Options{Scopes: o.config.Scopes, Logger: c.log, Stop: stop})
}

// listen listens where the service manager or the flags say.
func (cmd *agentStart) listen() (net.Listener, error) {
	if inherited, err := inheritedListener(); inherited != nil || err != nil {
		return inherited, err
	}
	path, err := socketPath(cmd.Socket)
	if err != nil {
		return nil, err
	}
	l, err := agent.ListenUnix(path)
	if err != nil && cmd.Socket != "" && !errors.Is(err, syscall.EADDRINUSE) {
		return nil, &flagError{"--socket", fmt.Errorf("--socket: %w", err)}
	}
	return l, err
}

// inheritedListener is the socket that systemd made, nil if it made none:
// https://www.freedesktop.org/software/systemd/man/latest/sd_listen_fds.html
func inheritedListener() (net.Listener, error) {
	if os.Getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) || os.Getenv("LISTEN_FDS") == "" {
		return nil, nil
	}
	if os.Getenv("LISTEN_FDS") != "1" {
		return nil, usageError("the service manager handed over " + os.Getenv("LISTEN_FDS") + " sockets: the agent takes one")
	}
	file := os.NewFile(3, "LISTEN_FDS")
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("the socket that the service manager handed over: %w", err)
	}
	if u, ok := l.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false) // it is the service manager's
	}
	return l, nil
}

// socketPath is where the agent of this user listens.
func socketPath(named string) (string, error) {
	if path := cmp.Or(named, os.Getenv(client.SocketVariable)); path != "" {
		return path, nil
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "graphtoken", "agent.sock"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", usageError("there is no place for the agent's socket: name one with --socket")
	}
	return filepath.Join(dir, "graphtoken", "agent.sock"), nil
}

// identityVariables are what Azure's SDKs ask for a managed identity.
func identityVariables(l net.Listener, a *agent.Agent) []string {
	return []string{"IDENTITY_ENDPOINT=http://" + l.Addr().String() + "/identity", "IDENTITY_HEADER=" + a.Secret()}
}

// serveAll serves at all of the listeners until ctx is done, or one of them fails.
func serveAll(ctx context.Context, a *agent.Agent, listeners ...net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error)
	for _, l := range listeners {
		go func() {
			err := a.Serve(ctx, l)
			cancel()
			failed <- err
		}()
	}
	var errs []error
	for range listeners {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}

// idle ends the agent when nobody has connected for some time.
type idle struct {
	net.Listener
	timeout time.Duration // zero: never
	end     func()
	timer   *time.Timer
}

func (i *idle) watch(ctx context.Context) (stop func()) {
	if i.timeout <= 0 {
		return func() {}
	}
	i.timer = time.AfterFunc(i.timeout, i.end)
	return func() { i.timer.Stop() }
}

func (i *idle) Accept() (net.Conn, error) {
	conn, err := i.Listener.Accept()
	if err == nil && i.timer != nil {
		i.timer.Reset(i.timeout)
	}
	return conn, err
}

type agentStatus struct {
	Socket string `placeholder:"PATH" help:"The agent's socket."`
}

// errNoAgent says that no agent is running.
var errNoAgent = errors.New("no agent is running")

func (cmd *agentStatus) Run(ctx context.Context, c *console) error {
	path, err := askAgent(ctx, cmd.Socket, (*client.Client).Ping)
	if err != nil {
		return err
	}
	c.say("An agent is running at %s.", path)
	return nil
}

type agentStop struct {
	Socket string `placeholder:"PATH" help:"The agent's socket."`
}

func (cmd *agentStop) Run(ctx context.Context, c *console) error {
	path, err := askAgent(ctx, cmd.Socket, (*client.Client).Stop)
	if err != nil {
		return err
	}
	c.say("The agent at %s ends.", path)
	return nil
}

// askAgent asks the running agent, and returns where it is.
func askAgent(ctx context.Context, socket string, ask func(*client.Client, context.Context) error) (path string, err error) {
	if path, err = socketPath(socket); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var answered *client.Error
	if err = ask(client.New(path), ctx); err != nil && !errors.As(err, &answered) {
		err = fmt.Errorf("%w: %w", errNoAgent, err)
	}
	return path, err
}

// agent returns the client of the agent that GRAPHTOKEN_AGENT names. It can be told the user
// and the scopes. With any other shared flag on the command line, the store is asked.
func (s *session) agent() *client.Client {
	for flag := range s.given {
		if _, shared := fieldOf(flag); shared && flag != "user" && flag != "scope" || flag == "profile" {
			return nil
		}
	}
	c, err := client.FromEnvironment()
	if err != nil {
		return nil
	}
	return c
}

// askAgent prints a token that the agent has.
func (cmd *tokenCommand) askAgent(ctx context.Context, s *session, c *console, asked *client.Client, claims string) error {
	token, err := asked.Token(ctx, client.Request{User: s.User, Scopes: s.Scope, MinValidity: cmd.MinValidity, Claims: claims})
	if err != nil {
		return err
	}
	return reveal(c.out, token, cmd.Format)
}

// Command graphtoken signs in to Microsoft Graph at the command line, keeps
// the tokens where other programs find them, and hands out valid ones:
//
//	curl -H "Authorization: Bearer $(graphtoken token)" https://graph.microsoft.com/v1.0/me
//
// Any number of processes may share a store: a token that expires is refreshed
// once. See graphtoken --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
)

const description = `Sign in to Microsoft Graph, keep the tokens, hand out valid ones.

Every flag can come from the environment instead: --store from GRAPHTOKEN_STORE, and so on. Secrets never come from arguments, which other users of a machine can see: the client secret comes from GRAPHTOKEN_CLIENT_SECRET or --client-secret-file, encryption keys from GRAPHTOKEN_KEYS or --key-file.
`

// commands is the command line, in the terms of kong: one struct that is flags,
// environment and help at once, from a library that brings nothing else along.
type commands struct {
	Login   loginCommand   `cmd:"" help:"Sign a user in, or the application itself, and store the tokens."`
	Status  statusCommand  `cmd:"" help:"Show who is signed in, for what, and until when."`
	Token   tokenCommand   `cmd:"" help:"Print a valid access token, refreshed if need be."`
	Refresh refreshCommand `cmd:"" help:"Obtain a new access token even if the present one is valid."`
	Logout  logoutCommand  `cmd:"" help:"Remove a user's tokens, or the application's, from the store."`
	Keygen  keygenCommand  `cmd:"" help:"Make a key to encrypt the store with."`

	Conformance conformanceCommand `cmd:"" help:"Run the conformance suite against the store, in a place of its own that is removed afterwards."`

	session

	Verbose bool             `short:"v" help:"Log what happens to the standard error output; never a secret."`
	Version kong.VersionFlag `env:"-" help:"Print the version."`
}

// console is where a command reads and writes. Secrets go nowhere but the
// token command's out.
type console struct {
	in       io.Reader
	out, err io.Writer
	log      *slog.Logger
}

// say tells people something; programs read out.
func (c *console) say(format string, args ...any) {
	_, _ = fmt.Fprintf(c.err, format+"\n", args...) // nobody is left to tell
}

func main() {
	var cli commands
	parser, err := kong.New(&cli,
		kong.Name("graphtoken"),
		kong.Description(description+exitCodesHelp),
		kong.DefaultEnvars("GRAPHTOKEN"),
		kong.Vars{"version": version(), "stores": storesHelp()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "graphtoken:", err)
		os.Exit(exitFailure)
	}
	command, err := parser.Parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "graphtoken: %v\nSee graphtoken --help.\n", err)
		os.Exit(exitUsage)
	}

	// The first interrupt ends the command in good order, which saves what was
	// obtained; the second ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)

	c := &console{in: os.Stdin, out: os.Stdout, err: os.Stderr, log: slog.New(slog.DiscardHandler)}
	if cli.Verbose {
		c.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run(&cli.session, c)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		c.say("graphtoken %s: interrupted", command.Command())
	} else if err != nil {
		c.say("graphtoken %s: %v", command.Command(), err)
		if advice := adviceOn(err, &cli.session); advice != "" {
			c.say("%s", advice)
		}
	}
	os.Exit(exitCode(ctx, err))
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return strings.TrimSpace(info.Main.Version + " " + info.GoVersion)
}

// Command graphtoken signs in to Microsoft Graph at the command line, keeps the tokens
// where other programs find them, and prints valid ones:
//
//	curl -H "Authorization: Bearer $(graphtoken token)" https://graph.microsoft.com/v1.0/me
//
// Any number of processes may share a store: a token that expires is refreshed once. See
// graphtoken --help.
package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/graphtoken/graphtoken/core"
	redislog "github.com/redis/go-redis/v9/logging"
)

const description = `Sign in to Microsoft Graph, keep the tokens, hand out valid ones.

Every flag can come from the environment instead: --store from GRAPHTOKEN_STORE, and so on. Secrets never come from arguments, which other users of a machine can see: the client secret comes from GRAPHTOKEN_CLIENT_SECRET or --client-secret-file, encryption keys from GRAPHTOKEN_KEYS or --key-file.

"graphtoken help stores" lists the stores and their URLs, "graphtoken help exit-codes" what the exit codes mean.
`

// commands is the command line for kong: one struct describes flags, environment and
// help. kong has no dependencies.
type commands struct {
	Login   loginCommand   `cmd:"" help:"Sign a user in, or the application itself, and store the tokens."`
	Status  statusCommand  `cmd:"" help:"Show who is signed in, for what, and until when."`
	List    listCommand    `cmd:"" help:"List the records of a store, and who is signed in there."`
	Whoami  whoamiCommand  `cmd:"" help:"Ask Microsoft Graph whose token it is."`
	Inspect inspectCommand `cmd:"" help:"Show the claims and times of the stored tokens, and no secret."`
	Token   tokenCommand   `cmd:"" help:"Print a valid access token, refreshed if need be."`
	Refresh refreshCommand `cmd:"" help:"Obtain a new access token even if the present one is valid."`
	Logout  logoutCommand  `cmd:"" help:"Remove a user's tokens, or the application's, from the store."`
	Copy    copyCommand    `cmd:"" help:"Copy a record, or all records of a store, to another store of any kind."`
	Purge   purgeCommand   `cmd:"" help:"Find users whose tokens are of no use any more, and remove them."`

	KeepAlive keepAliveCommand `cmd:"" name:"keepalive" help:"Renew refresh tokens that would end unused, once or as a daemon."`
	Keygen    keygenCommand    `cmd:"" help:"Make a key to encrypt the store with."`
	Rewrap    rewrapCommand    `cmd:"" help:"Encrypt records again with the first key, while programs use them."`

	Exec  execCommand  `cmd:"" help:"Run a program that finds tokens where Azure's SDKs look for a managed identity."`
	Agent agentCommand `cmd:"" help:"Hand out access tokens to other programs over a socket."`

	Doctor      doctorCommand      `cmd:"" help:"Look for what is wrong or risky about a store, and tell what to do."`
	Conformance conformanceCommand `cmd:"" help:"Run the conformance suite against the store, in a place of its own that is removed afterwards."`

	Completion     completionCommand `cmd:"" help:"Print a shell's completion script."`
	Man            manCommand        `cmd:"" help:"Print the manual page."`
	VersionCommand versionCommand    `cmd:"" name:"version" help:"Print the version."`
	HelpCommand    helpCommand       `cmd:"" name:"help" help:"Explain a command, the stores (help stores) or the exit codes (help exit-codes)."`

	session

	Verbose bool             `short:"v" help:"Log what happens to the standard error output; never a secret."`
	Version kong.VersionFlag `env:"-" help:"Print the version."`
}

func main() {
	redislog.Disable() // the client's errors come back from its calls, too
	var cli commands
	c := newConsole(os.Stdin, os.Stdout, os.Stderr)
	parser, err := kong.New(&cli,
		kong.Name("graphtoken"),
		kong.Description(description),
		kong.DefaultEnvars("GRAPHTOKEN"),
		kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
	)
	if err != nil {
		c.say("graphtoken: %v", err)
		os.Exit(exitFailure)
	}
	args := os.Args[1:]
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(args)
	if err != nil {
		c.say("graphtoken: %v\nSee graphtoken --help.", err)
		os.Exit(exitUsage)
	}

	ctx, pause := untilInterrupted(context.Background(), func() {
		c.say("graphtoken %s: interrupted; ends once what is under way is saved (Ctrl-C, a second time: at once)", command.Command())
	})
	c.pauseInterrupts = pause
	if cli.Verbose {
		c.beVerbose()
	}
	cli.given = make(map[string]bool)
	for _, element := range command.Path {
		if element.Flag != nil {
			cli.given[element.Flag.Name] = true
		}
	}
	command.Bind(parser)
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run(&cli.session, c)
	if program := (*exited)(nil); errors.As(err, &program) {
		if program.signal != nil {
			endBy(program.signal)
		}
		os.Exit(program.code)
	}
	if told := ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, core.ErrRefreshedNotSaved); err != nil && !told {
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

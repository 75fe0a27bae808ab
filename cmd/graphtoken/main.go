// Command graphtoken signs in to Microsoft Graph at the command line, keeps the tokens
// where other programs find them, and prints valid ones:
//
//	curl -H "Authorization: Bearer $(graphtoken token)" https://graph.microsoft.com/v1.0/me
//
// Any number of processes may share a store: a token that expires is refreshed once. See
// graphtoken --help.
package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/graphtoken/graphtoken/core"
	redislog "github.com/redis/go-redis/v9/logging"
)

// commands is the command line for kong: one struct describes flags, environment and
// help. kong has no dependencies.
type commands struct {
	Login  loginCommands `cmd:"" group:"Sign in" help:"Sign in a user or the application itself, and store the tokens."`
	Logout logoutCommand `cmd:"" group:"Sign in" help:"Remove a user's tokens, or the application's, from the store."`

	Status  statusCommand  `cmd:"" group:"Look" help:"Show who is signed in, for what, and until when."`
	List    listCommand    `cmd:"" group:"Look" help:"List the records of a store, and who is signed in there."`
	Whoami  whoamiCommand  `cmd:"" group:"Look" help:"Ask Microsoft Graph whose token it is."`
	Inspect inspectCommand `cmd:"" group:"Look" help:"Show the claims and times of the stored tokens, and no secret."`

	Token   tokenCommand   `cmd:"" group:"Use" help:"Print a valid access token, refreshed if need be."`
	Refresh refreshCommand `cmd:"" group:"Use" help:"Obtain a new access token even if the present one is valid."`
	Exec    execCommand    `cmd:"" group:"Use" help:"Run a program with tokens where Azure's SDKs look for them."`
	Agent   agentCommand   `cmd:"" group:"Use" help:"Hand out access tokens to other programs over a socket."`

	Copy      copyCommand      `cmd:"" group:"Keep" help:"Copy a record, or a whole store, to a store of any kind."`
	Import    importCommand    `cmd:"" group:"Keep" help:"Take in the tokens of python-o365, an MSAL or azure-cli."`
	Export    exportCommand    `cmd:"" group:"Keep" help:"Write the tokens for another program, not encrypted."`
	Purge     purgeCommand     `cmd:"" group:"Keep" help:"Find users whose tokens are of no use any more, and remove them."`
	KeepAlive keepAliveCommand `cmd:"" group:"Keep" name:"keepalive" help:"Renew refresh tokens that would end unused, once or as a daemon."`
	Keygen    keygenCommand    `cmd:"" group:"Keep" help:"Make a key to encrypt the store with."`
	Rewrap    rewrapCommand    `cmd:"" group:"Keep" help:"Encrypt records with the first key, while programs use them."`

	Doctor      doctorCommand      `cmd:"" group:"Check" help:"Look for what is wrong about a store, and tell what to do."`
	Conformance conformanceCommand `cmd:"" group:"Check" help:"Test that a store keeps its promises, in a place of its own."`

	Config         configCommands    `cmd:"" group:"This program" help:"Keep settings in profiles, so that commands need fewer flags."`
	Completion     completionCommand `cmd:"" group:"This program" help:"Print a shell's completion script."`
	Man            manCommand        `cmd:"" group:"This program" help:"Print the manual page."`
	VersionCommand versionCommand    `cmd:"" group:"This program" name:"version" help:"Print the version."`
	HelpCommand    helpCommand       `cmd:"" group:"This program" name:"help" help:"Explain a command, the shared flags, the stores, the exit codes."`

	session

	configuration *configuration
	profile       map[string]any // the values of the profile that counts

	Verbose bool             `group:"General" short:"v" help:"Log what happens to the standard error output; never a secret."`
	Version kong.VersionFlag `group:"General" env:"-" help:"Print the version."`
}

// newParser makes the parser of the command line, with each command's page of help.
func newParser(cli *commands) (*kong.Kong, error) {
	cli.given = make(map[string]bool)
	parser, err := kong.New(cli,
		kong.Name("graphtoken"),
		kong.Description(description),
		kong.DefaultEnvars("GRAPHTOKEN"),
		kong.Vars{"version": version()},
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: helpWidth}),
		kong.Help(printHelp),
		kong.Resolvers(kong.ResolverFunc(cli.resolve)),
	)
	if err == nil {
		addPages(parser.Model)
	}
	return parser, err
}

func main() {
	redislog.Disable() // the client's errors come back from its calls, too
	var cli commands
	c := newConsole(os.Stdin, os.Stdout, os.Stderr)
	parser, err := newParser(&cli)
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
		c.say("graphtoken: %v\nSee %s --help.", err, mistaken(err))
		os.Exit(exitUsage)
	}

	ctx, pause := untilInterrupted(context.Background(), func() {
		c.say("graphtoken %s: interrupted; ends once what is under way is saved (Ctrl-C, a second time: at once)", called(command))
	})
	c.pauseInterrupts = pause
	if cli.Verbose {
		c.beVerbose()
	}
	cli.settleTenant()
	command.Bind(parser)
	command.BindTo(ctx, (*context.Context)(nil))
	if err = refuse(command.Selected(), parser.Model.Flags, cli.given); err == nil {
		err = command.Run(&cli.session, c)
	}
	if program := (*exited)(nil); errors.As(err, &program) {
		if program.signal != nil {
			endBy(program.signal)
		}
		os.Exit(program.code)
	}
	if told := ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, core.ErrRefreshedNotSaved); err != nil && !told && !isUnread(err) {
		c.say("graphtoken %s: %v", called(command), err)
		advice := adviceOn(err, &cli.session)
		if advice == "" && exitCode(ctx, err) == exitUsage && !strings.Contains(err.Error(), "graphtoken ") {
			advice = "See graphtoken " + called(command) + " --help."
		}
		if advice != "" {
			c.say("%s", advice)
		}
	}
	os.Exit(exitCode(ctx, err))
}

// called is the command as a user calls it: "copy", and not "copy <from> <to>"; "login",
// and not "login now".
func called(command *kong.Context) string {
	return strings.TrimSuffix(strings.TrimPrefix(command.Selected().FullPath(), "graphtoken "), " now")
}

// mistaken is the command whose command line is wrong, or the program.
func mistaken(err error) string {
	var mistake *kong.ParseError
	if errors.As(err, &mistake) && mistake.Context != nil && mistake.Context.Selected() != nil {
		return mistake.Context.Selected().FullPath()
	}
	return "graphtoken"
}

// stamped is the version of a binary that scripts/binaries has made: the linker sets it.
var stamped string

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return strings.TrimSpace(cmp.Or(stamped, info.Main.Version, "unknown") + " " + info.GoVersion)
}

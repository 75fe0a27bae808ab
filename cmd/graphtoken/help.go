package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"github.com/graphtoken/graphtoken/stores"
)

const description = `Sign in to Microsoft Graph, keep the tokens, hand out valid ones.

	graphtoken login --client-id ID --scope User.Read
	curl -H "Authorization: Bearer $(graphtoken token)" \
	  https://graph.microsoft.com/v1.0/me`

// sharedFlags is what "help flags" says above the flags.
const sharedFlags = `These flags are the same for all commands. The help of a command names the groups that it heeds.

Each can come from the environment instead: --store from GRAPHTOKEN_STORE, and so on. Secrets never come from arguments, which other users of a machine can see: the client secret comes from GRAPHTOKEN_CLIENT_SECRET or --client-secret-file, encryption keys from GRAPHTOKEN_KEYS, --key-file or --keychain.`

const moreHelp = `
More:
  graphtoken COMMAND --help     a command's examples and flags
  graphtoken help flags         the flags that the commands share
  graphtoken help stores        the kinds of stores, and their URLs
  graphtoken help exit-codes    what the exit codes mean
`

type helpCommand struct {
	Topic []string `arg:"" optional:"" help:"A command, or flags, stores or exit-codes."`
}

func (h *helpCommand) Run(parser *kong.Kong, c *console) error {
	switch strings.Join(h.Topic, " ") {
	case "flags":
		return printSharedFlags(parser)
	case "stores":
		return printStores(c.out)
	case "exit-codes":
		return printExitCodes(c.out)
	}
	// kong shows the help, and then calls Exit.
	if _, err := parser.Parse(append(h.Topic, "--help")); isUnread(err) {
		return err
	} else if err != nil {
		return usageError(fmt.Sprintf("there is no command %q: see graphtoken --help", strings.Join(h.Topic, " ")))
	}
	return nil
}

// addPages adds the examples of the commands to what kong knows of them.
func addPages(app *kong.Application) {
	app.HelpFlag.Group, app.HelpFlag.Help = &kong.Group{Key: general, Title: general}, "Explain the command."
	for _, command := range app.Leaves(false) {
		if examples := pages[command.Path()].examples; len(examples) > 0 {
			command.Detail = strings.TrimSpace(command.Detail + "\n\nFor example:\n\n\t" + strings.ReplaceAll(strings.Join(examples, "\n"), "\n", "\n\t"))
		}
	}
}

// printHelp prints the help of a command, or of the program. The flags that all commands
// share would hide a command's own, so it names them alone.
func printHelp(o kong.HelpOptions, ctx *kong.Context) error {
	for _, f := range ctx.Model.Flags {
		f.Hidden = true
	}
	if of := ctx.Selected(); of != nil && of.DefaultCmd != nil { // whose flags need no other word
		of.Flags = append(of.Flags, of.DefaultCmd.Flags...)
		of.Detail = cmp.Or(of.Detail, of.DefaultCmd.Detail)
		o.NoAppSummary = true // kong's says that a command is needed
		fmt.Fprintln(ctx.Stdout, "Usage:", usageOfDefault(of))
	}
	ctx.Model.HelpFlag = nil // kong's own words about --help, which moreHelp has
	if err := kong.DefaultHelpPrinter(o, ctx); err != nil {
		return err
	}
	command := ctx.Selected()
	if command != nil && command.DefaultCmd != nil {
		command = command.DefaultCmd
	}
	if command == nil || !command.Leaf() {
		_, err := io.WriteString(ctx.Stdout, moreHelp)
		return err
	}
	t := tabwriter.NewWriter(ctx.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nShared flags (graphtoken help flags explains them):")
	for _, group := range append(slices.Clone(pages[command.Path()].heeds), general) {
		title := group
		for line := range slices.Chunk(namesOf(ctx.Model, command.Path(), group), 3) {
			fmt.Fprintf(t, "  %s\t%s\n", title, strings.Join(line, " "))
			title = ""
		}
	}
	return t.Flush()
}

// usageOfDefault is the usage of a group whose default command is called by the group's name
// alone: "graphtoken login [start|finish] [flags]".
func usageOfDefault(group *kong.Node) string {
	var others []string
	for _, command := range group.Children {
		if command != group.DefaultCmd && !command.Hidden {
			others = append(others, command.Name)
		}
	}
	return group.FullPath() + " [" + strings.Join(others, "|") + "] [flags]"
}

// namesOf returns the shared flags of a group that a command honours.
func namesOf(app *kong.Application, command, group string) (names []string) {
	for _, f := range app.Flags {
		if f.Group.Key == group && honours(command, f) {
			names = append(names, "--"+f.Name)
		}
	}
	return names
}

// printSharedFlags prints the flags that all commands share, and nothing else.
func printSharedFlags(parser *kong.Kong) error {
	ctx, err := kong.Trace(parser, nil)
	if err != nil {
		return err
	}
	for _, command := range parser.Model.Children {
		command.Hidden = true
	}
	parser.Model.Help, parser.Model.HelpFlag = sharedFlags, nil
	return kong.DefaultHelpPrinter(kong.HelpOptions{WrapUpperBound: helpWidth, ValueFormatter: kong.DefaultHelpValueFormatter}, ctx)
}

// printStores prints all kinds of stores: the forms of their URLs, and what they are.
func printStores(w io.Writer) error {
	var text strings.Builder
	for _, k := range stores.Kinds() {
		fmt.Fprintln(&text, strings.Join(k.Forms, "\n"))
		wrap(&text, "    ", "    ", k.Help)
	}
	for _, paragraph := range []string{
		`#NAME, or --record NAME, names the record in a store of several. In a URL, %20 and the like are decoded; a text without a scheme is the path of a file as it is. What follows a "?" are options of the store.`,
		"Passwords and keys come from where each store's own tools look: REDISCLI_AUTH, PGPASSWORD and ~/.pgpass, MYSQL_PWD, the AWS and Google default credentials, BWS_ACCESS_TOKEN. A password in a URL is never shown.",
	} {
		text.WriteString("\n")
		wrap(&text, "", "", paragraph)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// printExitCodes prints the table of the exit codes.
func printExitCodes(w io.Writer) error {
	var text strings.Builder
	for _, e := range exitCodes {
		wrap(&text, fmt.Sprintf("%-10s", e.code), strings.Repeat(" ", 10), e.means)
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// helpWidth is the width of all pages, in columns.
const helpWidth = 80

// wrap writes a paragraph in lines of at most helpWidth columns. The first line begins
// with first, and the others with next.
func wrap(b *strings.Builder, first, next, paragraph string) {
	line, empty := first, true
	for word := range strings.FieldsSeq(paragraph) {
		switch {
		case empty:
		case utf8.RuneCountInString(line+" "+word) > helpWidth:
			b.WriteString(line + "\n")
			line = next
		default:
			line += " "
		}
		line, empty = line+word, false
	}
	b.WriteString(line + "\n")
}

type versionCommand struct {
	JSON bool `name:"json" env:"-" help:"As JSON."`
}

func (cmd *versionCommand) Run(c *console) error {
	if cmd.JSON {
		of, with, _ := strings.Cut(version(), " ")
		return writeJSON(c.out, map[string]string{"version": of, "go": with})
	}
	_, err := fmt.Fprintln(c.out, version())
	return err
}

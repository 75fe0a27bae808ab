package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"

	"github.com/graphtoken/graphtoken/stores"
)

type helpCommand struct {
	Topic []string `arg:"" optional:"" help:"A command, or stores, or exit-codes."`
}

func (h *helpCommand) Run(parser *kong.Kong, c *console) error {
	switch strings.Join(h.Topic, " ") {
	case "stores":
		return printStores(c.out)
	case "exit-codes":
		_, err := io.WriteString(c.out, exitCodesHelp)
		return err
	}
	// kong shows the help, and then calls Exit.
	if _, err := parser.Parse(append(h.Topic, "--help")); err != nil {
		return usageError(fmt.Sprintf("there is no command %q: see graphtoken --help", strings.Join(h.Topic, " ")))
	}
	return nil
}

// printStores prints one table of all kinds of stores and their URLs.
func printStores(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "URL\tSTORE")
	for _, k := range stores.Kinds() {
		help := k.Help
		for _, form := range k.Forms {
			fmt.Fprintf(t, "%s\t%s\n", form, help)
			help = ""
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, `
#NAME, or --record NAME, names the record in a store of several. In a URL, %20 and the like are decoded;
a text without a scheme is the path of a file as it is. What follows a "?" are options of the store.
Passwords and keys come from where each store's own tools look: REDISCLI_AUTH, PGPASSWORD and ~/.pgpass,
MYSQL_PWD, the AWS and Google default credentials, BWS_ACCESS_TOKEN. A password in a URL is never shown.
`)
	return err
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

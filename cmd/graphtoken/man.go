package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type manCommand struct{}

func (manCommand) Run(parser *kong.Kong, c *console) error {
	_, err := io.WriteString(c.out, manualOf(parser.Model.Node))
	return err
}

// manualOf writes the page in the macros of man(7).
func manualOf(root *kong.Node) string {
	var b strings.Builder
	b.WriteString(".TH GRAPHTOKEN 1\n.SH NAME\ngraphtoken \\- sign in to Microsoft Graph, keep the tokens, hand out valid ones\n")
	b.WriteString(".SH SYNOPSIS\n.B graphtoken\n.I command\n.RI [ flags ]\n.SH DESCRIPTION\n")
	for paragraph := range strings.SplitSeq(strings.TrimSpace(root.Help+"\n\n"+root.Detail), "\n\n") {
		fmt.Fprintf(&b, ".PP\n%s\n", roff(paragraph))
	}
	b.WriteString(".SH COMMANDS\n")
	var visit func(n *kong.Node)
	visit = func(n *kong.Node) {
		for _, child := range n.Children {
			if child.Hidden {
				continue
			}
			if !child.Leaf() {
				visit(child)
				continue
			}
			fmt.Fprintf(&b, ".SS %s\n%s\n", roff(strings.TrimPrefix(child.Summary(), "graphtoken ")), roff(child.Help))
			if child.Detail != "" {
				fmt.Fprintf(&b, ".PP\n%s\n", roff(child.Detail))
			}
			for _, p := range child.Positional {
				fmt.Fprintf(&b, ".TP\n.I %s\n%s\n", roff(p.Name), roff(p.Help))
			}
			flagsOf(&b, child)
		}
	}
	visit(root)
	b.WriteString(".SH FLAGS OF ALL COMMANDS\n")
	flagsOf(&b, root)
	b.WriteString(".SH EXIT STATUS\n.nf\n" + roff(strings.TrimPrefix(exitCodesHelp, "Exit codes:\n")) + "\n.fi\n")
	b.WriteString(".SH STORES\n.nf\n")
	var stores strings.Builder
	_ = printStores(&stores) // a builder takes everything
	b.WriteString(roff(stores.String()) + "\n.fi\n")
	return b.String()
}

func flagsOf(b *strings.Builder, n *kong.Node) {
	for _, f := range n.Flags {
		if f.Hidden {
			continue
		}
		name := "--" + f.Name
		if f.Short != 0 {
			name = "-" + string(f.Short) + ", " + name
		}
		if !f.IsBool() {
			name += "=" + strings.Trim(f.FormatPlaceHolder(), `"`)
		}
		variable := ""
		if len(f.Envs) > 0 {
			variable = " ($" + strings.Join(f.Envs, ", $") + ")"
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(name), roff(f.Help+variable))
	}
}

// roff escapes text for man(7): a backslash, a hyphen that is to be copied, and a line
// that would begin with a request.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(strings.TrimRight(text, "\n"))
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

package main

import (
	"fmt"
	"io"
	"slices"
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
	paragraphs(&b, root.Help)
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
			paragraphs(&b, child.Detail)
			for _, p := range child.Positional {
				fmt.Fprintf(&b, ".TP\n.I %s\n%s\n", roff(p.Name), roff(p.Help))
			}
			flagsOf(&b, child.Flags)
			if heeds := pages[child.Path()].heeds; len(heeds) > 0 {
				fmt.Fprintf(&b, ".PP\nShared flags: %s.\n", strings.Join(heeds, ", "))
			}
		}
	}
	visit(root)
	b.WriteString(".SH SHARED FLAGS\n")
	paragraphs(&b, sharedFlags)
	for _, group := range append(slices.Clone(allGroups), general) {
		fmt.Fprintf(&b, ".SS %s\n", group)
		flagsOf(&b, slices.DeleteFunc(slices.Clone(root.Flags), func(f *kong.Flag) bool { return f.Group.Key != group }))
	}
	b.WriteString(".SH EXIT STATUS\n")
	for _, e := range exitCodes {
		fmt.Fprintf(&b, ".TP\n%s\n%s\n", e.code, roff(e.means))
	}
	b.WriteString(".SH STORES\n.nf\n")
	var stores strings.Builder
	_ = printStores(&stores) // a builder takes everything
	b.WriteString(roff(stores.String()) + "\n.fi\n")
	return b.String()
}

// paragraphs writes paragraphs of text, and of lines for a shell, which are indented.
func paragraphs(b *strings.Builder, text string) {
	for paragraph := range strings.SplitSeq(text, "\n\n") {
		switch {
		case paragraph == "":
		case strings.HasPrefix(paragraph, "\t"):
			fmt.Fprintf(b, ".PP\n.nf\n%s\n.fi\n", roff(paragraph))
		default:
			fmt.Fprintf(b, ".PP\n%s\n", roff(paragraph))
		}
	}
}

func flagsOf(b *strings.Builder, flags []*kong.Flag) {
	for _, f := range flags {
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

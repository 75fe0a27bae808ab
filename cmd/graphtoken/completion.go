package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish,powershell" help:"${enum}."`
}

// Help is what kong shows below the command's first line.
func (completionCommand) Help() string {
	return `bash: graphtoken completion bash >/etc/bash_completion.d/graphtoken; zsh: graphtoken completion zsh >"${fpath[1]}/_graphtoken"; fish: graphtoken completion fish >~/.config/fish/completions/graphtoken.fish; PowerShell: graphtoken completion powershell | Out-String | Invoke-Expression (in $PROFILE).`
}

func (cmd *completionCommand) Run(parser *kong.Kong, c *console) error {
	words, values := wordsOf(parser.Model.Node)
	_, err := io.WriteString(c.out, completions[cmd.Shell](words, values))
	return err
}

// wordsOf returns the words that can follow each command, by the command's path ("" and
// "agent start"), and the values of flags that have a list of them. Flags of one name have
// the values of all of them.
func wordsOf(root *kong.Node) (words, values map[string][]string) {
	words, values = make(map[string][]string), make(map[string][]string)
	var visit func(n *kong.Node, path []string, inherited []string)
	visit = func(n *kong.Node, path, inherited []string) {
		add := func(flags []string, of *kong.Node) []string {
			for _, f := range of.Flags {
				if f.Hidden {
					continue
				}
				flags = append(flags, "--"+f.Name)
				for value := range strings.SplitSeq(f.Enum, ",") {
					if value != "" && !slices.Contains(values["--"+f.Name], value) {
						values["--"+f.Name] = append(values["--"+f.Name], value)
					}
				}
			}
			return flags
		}
		flags := add(slices.Clone(inherited), n)
		name := strings.Join(path, " ")
		for _, child := range n.Children {
			if !child.Hidden {
				words[name] = append(words[name], child.Name)
				visit(child, append(slices.Clone(path), child.Name), flags)
			}
		}
		for _, p := range n.Positional {
			if p.Enum != "" {
				words[name] = append(words[name], strings.Split(p.Enum, ",")...)
			}
		}
		words[name] = append(words[name], flags...)
		if n.DefaultCmd != nil {
			words[name] = add(words[name], n.DefaultCmd)
		}
	}
	visit(root, nil, nil)
	words["help"] = append(slices.Clone(words[""]), "flags", "stores", "exit-codes")
	words["help"] = slices.DeleteFunc(words["help"], func(w string) bool { return strings.HasPrefix(w, "-") })
	return words, values
}

// completions write the scripts. Names of commands and flags, and values, are letters and
// hyphens, so no shell needs them quoted.
var completions = map[string]func(words, values map[string][]string) string{
	"bash": bashCompletion,
	"zsh": func(words, values map[string][]string) string {
		return "#compdef graphtoken\n" + zshCompletion(words, values)
	},
	"fish":       fishCompletion,
	"powershell": powershellCompletion,
}

func bashCompletion(words, values map[string][]string) string {
	var b strings.Builder
	b.WriteString("_graphtoken() {\n\tlocal current=\"${COMP_WORDS[COMP_CWORD]}\" previous=\"${COMP_WORDS[COMP_CWORD-1]}\" command= word\n")
	b.WriteString("\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase \"${command:+$command }$word\" in\n")
	fmt.Fprintf(&b, "\t\t%s) command=\"${command:+$command }$word\" ;;\n\t\tesac\n\tdone\n", quotedCases(words))
	b.WriteString("\tcase \"$previous\" in\n")
	for _, flag := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "\t%s) COMPREPLY=($(compgen -W '%s' -- \"$current\")); return ;;\n", flag, strings.Join(values[flag], " "))
	}
	b.WriteString("\tesac\n\tcase \"$command\" in\n")
	for _, path := range slices.Sorted(maps.Keys(words)) {
		fmt.Fprintf(&b, "\t'%s') COMPREPLY=($(compgen -W '%s' -- \"$current\")) ;;\n", path, strings.Join(words[path], " "))
	}
	b.WriteString("\tesac\n}\ncomplete -o default -F _graphtoken graphtoken\n")
	return b.String()
}

// quotedCases is a pattern of a shell's case for all commands.
func quotedCases(words map[string][]string) string {
	var cases []string
	for _, path := range slices.Sorted(maps.Keys(words)) {
		if path != "" {
			cases = append(cases, "'"+path+"'")
		}
	}
	return strings.Join(cases, "|")
}

func zshCompletion(words, values map[string][]string) string {
	var b strings.Builder
	b.WriteString("_graphtoken() {\n\tlocal command= word\n")
	b.WriteString("\tfor word in \"${(@)words[2,CURRENT-1]}\"; do\n\t\tcase \"${command:+$command }$word\" in\n")
	fmt.Fprintf(&b, "\t\t(%s) command=\"${command:+$command }$word\" ;;\n\t\tesac\n\tdone\n", quotedCases(words))
	b.WriteString("\tcase \"${words[CURRENT-1]}\" in\n")
	for _, flag := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "\t(%s) compadd -- %s; return ;;\n", flag, strings.Join(values[flag], " "))
	}
	b.WriteString("\tesac\n\tcase \"$command\" in\n")
	for _, path := range slices.Sorted(maps.Keys(words)) {
		fmt.Fprintf(&b, "\t('%s') compadd -- %s ;;\n", path, strings.Join(words[path], " "))
	}
	b.WriteString("\tesac\n\t_files\n}\nif [ \"$funcstack[1]\" = _graphtoken ]; then _graphtoken \"$@\"; else compdef _graphtoken graphtoken; fi\n")
	return b.String()
}

func fishCompletion(words, values map[string][]string) string {
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(words)) {
		condition := "__fish_use_subcommand"
		if path != "" {
			var parts []string
			for _, word := range strings.Fields(path) {
				parts = append(parts, "__fish_seen_subcommand_from "+word)
			}
			condition = strings.Join(parts, "; and ")
		}
		for _, word := range words[path] {
			option := "-f -a " + word
			if flag, isFlag := strings.CutPrefix(word, "--"); isFlag {
				option = "-l " + flag
				if list := values[word]; list != nil {
					option += " -x -a '" + strings.Join(list, " ") + "'"
				}
			}
			fmt.Fprintf(&b, "complete -c graphtoken -n '%s' %s\n", condition, option)
		}
	}
	return b.String()
}

func powershellCompletion(words, values map[string][]string) string {
	list := func(of []string) string { return "@('" + strings.Join(of, "', '") + "')" }
	var b strings.Builder
	b.WriteString("Register-ArgumentCompleter -Native -CommandName graphtoken -ScriptBlock {\n\tparam($current, $ast, $position)\n\t$words = @{\n")
	for _, path := range slices.Sorted(maps.Keys(words)) {
		fmt.Fprintf(&b, "\t\t'%s' = %s\n", path, list(words[path]))
	}
	b.WriteString("\t}\n\t$values = @{\n")
	for _, flag := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "\t\t'%s' = %s\n", flag, list(values[flag]))
	}
	b.WriteString("\t}\n" + `	$command = ''
	$previous = ''
	foreach ($element in $ast.CommandElements | Select-Object -Skip 1) {
		if ($element.Extent.EndOffset -ge $position) { break }
		$previous = "$element"
		$longer = "$command $element".Trim()
		if ($words.ContainsKey($longer)) { $command = $longer }
	}
	$list = $words[$command]
	if ($values.ContainsKey($previous)) { $list = $values[$previous] }
	$list | Where-Object { $_ -like "$current*" } | ForEach-Object { [System.Management.Automation.CompletionResult]::new($_) }
}
`)
	return b.String()
}

package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// A block is Go code that stands in a README.
type block struct {
	line     int
	text     string
	complete bool // it begins with a package clause or with its imports, so that it can be compiled
}

// goBlocks finds the Go blocks of a Markdown text.
func goBlocks(markdown string) []block {
	var blocks []block
	var current *block
	for i, line := range strings.Split(markdown, "\n") {
		switch {
		case current == nil && strings.TrimSpace(line) == "```go":
			current = &block{line: i + 2}
		case current != nil && strings.TrimSpace(line) == "```":
			for code := range strings.Lines(current.text) {
				code = strings.TrimSpace(code)
				if code == "" || strings.HasPrefix(code, "//") {
					continue
				}
				current.complete = strings.HasPrefix(code, "package ") || strings.HasPrefix(code, "import ")
				break
			}
			blocks = append(blocks, *current)
			current = nil
		case current != nil:
			current.text += line + "\n"
		}
	}
	return blocks
}

// readBlocks returns the Go blocks of a README in the clone at root, all of which
// have their imports.
func readBlocks(root, name string) ([]block, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	blocks := goBlocks(string(text))
	for _, b := range blocks {
		if !b.complete {
			return nil, fmt.Errorf("%s:%d: the Go block begins neither with a package clause nor with imports, so it can't be compiled", name, b.line)
		}
	}
	return blocks, nil
}

// source makes a Go file of a complete block. Statements that follow imports
// become the body of a function that has a context ctx and returns an error; a
// variable that the block leaves unused is no mistake there.
func (b block) source() (string, error) {
	text := b.text
	whole, err := parser.ParseFile(token.NewFileSet(), "", text, parser.ImportsOnly)
	if err != nil {
		text = "package readme\n" + text
		if whole, err = parser.ParseFile(token.NewFileSet(), "", text, parser.ImportsOnly); err != nil {
			return "", err
		}
	}
	if _, err := parser.ParseFile(token.NewFileSet(), "", text, 0); err == nil {
		return text, nil // a file, or declarations
	}
	end := int(whole.Name.End()) - 1
	for _, d := range whole.Decls {
		end = int(d.End()) - 1
	}
	body := strings.TrimSpace(text[end:])
	head := text[:end] + "\n\nimport readme \"context\"\n\nfunc _(ctx readme.Context) error {\n"
	parsed, err := parser.ParseFile(token.NewFileSet(), "", head+body+"\n}\n", 0)
	if err != nil {
		return "", err
	}
	function := parsed.Decls[len(parsed.Decls)-1].(*ast.FuncDecl)
	var tail strings.Builder
	returns := false
	for _, s := range function.Body.List {
		_, returns = s.(*ast.ReturnStmt)
		define, ok := s.(*ast.AssignStmt)
		if !ok || define.Tok != token.DEFINE {
			continue
		}
		for _, left := range define.Lhs {
			if name := left.(*ast.Ident).Name; name != "_" {
				fmt.Fprintf(&tail, "_ = %s\n", name)
			}
		}
	}
	if returns {
		return head + body + "\n}\n", nil
	}
	return head + body + "\n" + tail.String() + "return nil\n}\n", nil
}

// write makes a package of a complete block, in a new directory.
func (b block) write(directory string) error {
	source, err := b.source()
	if err != nil {
		return err
	}
	name := "example.go"
	if strings.Contains(source, `"testing"`) {
		name = "example_test.go"
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(directory, name), []byte(source), 0o644)
}

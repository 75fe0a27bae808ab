// Command pictures makes the pictures of docs/pictures: an SVG of each text in
// Graphviz's language (https://graphviz.org/doc/info/lang.html) there. It is run
// in a clone, by scripts/pictures. Graphviz is compiled to WebAssembly in the
// library that this uses, so one text gives the same picture on every machine.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/goccy/go-graphviz"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "!!! %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	sources, err := list(ctx)
	if err != nil {
		return err
	}
	for _, source := range sources {
		drawn, err := draw(ctx, source)
		if err != nil {
			return err
		}
		if err := os.WriteFile(picture(source), drawn, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// list returns the file names of the texts.
func list(ctx context.Context) ([]string, error) {
	root, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return nil, fmt.Errorf("this isn't a clone of the repository: %w", err)
	}
	sources, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(root)), "docs", "pictures", "*.dot"))
	if err == nil && len(sources) == 0 {
		err = errors.New("docs/pictures has no text (.dot) to draw")
	}
	return sources, err
}

// picture returns the name of a text's picture.
func picture(source string) string { return strings.TrimSuffix(source, ".dot") + ".svg" }

// draw returns the SVG of a text.
func draw(ctx context.Context, source string) ([]byte, error) {
	text, err := os.ReadFile(source)
	if err != nil {
		return nil, err
	}
	graph, err := graphviz.ParseBytes(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	defer graph.Close()
	engine, err := graphviz.New(ctx)
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	var drawn bytes.Buffer
	if err := engine.Render(ctx, graph, graphviz.SVG, &drawn); err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	return drawn.Bytes(), nil
}

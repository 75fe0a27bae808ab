package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// consume uses every published module as a stranger would.
func consume(ctx context.Context, root string) error {
	dir, err := os.MkdirTemp("", "graphtoken-consumer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r, err := prepare(ctx, root, dir)
	if err != nil {
		return err
	}
	changelog, err := os.ReadFile(filepath.Join(r.scratch, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	if err := checkChangelog(string(changelog), r.table.version, false); err != nil {
		return err
	}
	c := &consumer{release: r, dir: dir}
	var jobs []job
	for _, m := range r.order {
		jobs = append(jobs, job{m.dir + ": its tag builds", func() error { return r.buildsAlone(ctx, m) }})
		switch {
		case m.audience != forUsers:
		case strings.HasPrefix(m.dir, "cmd/"):
			jobs = append(jobs, job{m.dir + ": go install, --version", func() error { return c.install(ctx, m) }})
		default:
			jobs = append(jobs, job{m.dir + ": go get, README, go mod tidy, go build, go vet", func() error { return c.use(ctx, m) }})
		}
	}
	jobs = append(jobs, job{"README.md, a newcomer's documents: go mod tidy, go build, go vet", func() error {
		return c.examples(ctx, c.place("README"), "README.md", "docs/getting-started.md", "docs/from-python-o365.md")
	}})
	err = errors.Join(runAll(jobs), c.compare(ctx))
	if err == nil {
		fmt.Printf("%d modules can be installed at %s\n", len(r.order), r.table.version)
	}
	return err
}

// A consumer is a stranger's machine.
type consumer struct {
	*release
	dir string
}

// place returns a directory of its own for one use.
func (c *consumer) place(name string) string {
	return filepath.Join(c.dir, "uses", filepath.FromSlash(name))
}

// use gets a module into an empty one, imports all its packages, and compiles
// its README's examples.
func (c *consumer) use(ctx context.Context, m *module) error {
	place := c.place(m.dir)
	if err := c.begin(ctx, place); err != nil {
		return err
	}
	packages, err := c.packages(ctx, m)
	if err != nil {
		return err
	}
	source := "package uses\n\n"
	for _, p := range packages {
		source += fmt.Sprintf("import _ %q\n", p)
	}
	if err := os.WriteFile(filepath.Join(place, "uses.go"), []byte(source), 0o644); err != nil {
		return err
	}
	for _, args := range [][]string{
		{"get", m.path + "@" + m.version},
		{"mod", "tidy"},
		{"build", "./..."},
		{"vet", "./..."},
	} {
		if _, err := c.tools.run(ctx, place, args...); err != nil {
			return err
		}
		if err := c.onlyNeeded(ctx, place); err != nil {
			return fmt.Errorf("after go %s: %w", strings.Join(args, " "), err)
		}
	}
	readmes, err := readmesOf(c.scratch, m)
	if err != nil {
		return err
	}
	return c.examples(ctx, place, readmes...)
}

// readmesOf lists the READMEs of a module in the clone at root. The first is that
// of the module's directory, which every module has to have.
func readmesOf(root string, m *module) ([]string, error) {
	found := []string{m.dir + "/README.md"}
	top := filepath.Join(root, filepath.FromSlash(m.dir))
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == top {
			return err
		}
		if entry.IsDir() {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil || entry.Name() == "testdata" || entry.Name() == "internal" {
				return filepath.SkipDir
			}
			return nil
		}
		relative, err := filepath.Rel(root, name)
		if relative = filepath.ToSlash(relative); entry.Name() == "README.md" && relative != found[0] {
			found = append(found, relative)
		}
		return err
	})
	return found, err
}

// begin makes an empty module.
func (c *consumer) begin(ctx context.Context, place string) error {
	if err := os.MkdirAll(place, 0o755); err != nil {
		return err
	}
	_, err := c.tools.run(ctx, place, "mod", "init", "example.com/consumer")
	return err
}

// packages lists what a module's users can import.
func (c *consumer) packages(ctx context.Context, m *module) ([]string, error) {
	dir := filepath.Join(c.scratch, filepath.FromSlash(m.dir))
	listed, err := c.tools.run(ctx, dir, "list", "-f", `{{if ne .Name "main"}}{{.ImportPath}}{{end}}`, "./...")
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(strings.Fields(listed), func(p string) bool {
		return slices.Contains(strings.Split(strings.TrimPrefix(p, m.path), "/"), "internal")
	}), nil
}

// onlyNeeded returns an error if go.mod has a module of which nothing is compiled, on any
// system: another backend's SDK, for example.
func (c *consumer) onlyNeeded(ctx context.Context, place string) error {
	needed := map[string]bool{}
	for _, system := range []string{"linux", "darwin", "windows"} {
		listed, err := output(ctx, command{dir: place, env: append(slices.Clone(c.tools.env), "GOOS="+system)},
			"go", "list", "-e", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./...")
		if err != nil {
			return err
		}
		for _, p := range strings.Fields(listed) {
			needed[p] = true
		}
	}
	name := filepath.Join(place, "go.mod")
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	file, err := modfile.Parse(name, data, nil)
	if err != nil {
		return err
	}
	for _, r := range file.Require {
		if !needed[r.Mod.Path] && !isAbove(r.Mod.Path, needed) {
			return fmt.Errorf("go.mod requires %s, of which nothing is compiled", r.Mod.Path)
		}
	}
	return nil
}

// isAbove reports whether one of the modules has a path below this one's. The go command
// then needs this one, too, to know that it doesn't have the other's packages:
// cloud.google.com/go for cloud.google.com/go/kms.
func isAbove(path string, modules map[string]bool) bool {
	for m := range modules {
		if strings.HasPrefix(m, path+"/") {
			return true
		}
	}
	return false
}

// examples compiles the Go blocks of READMEs at place, where a module may be
// that they are about.
func (c *consumer) examples(ctx context.Context, place string, readmes ...string) error {
	if _, err := os.Stat(filepath.Join(place, "go.mod")); err != nil {
		if err := c.begin(ctx, place); err != nil {
			return err
		}
	}
	written := 0
	for _, name := range readmes {
		blocks, err := readBlocks(c.scratch, name)
		if err != nil {
			return err
		}
		for _, b := range blocks {
			if err := b.write(filepath.Join(place, "README", filepath.FromSlash(name), fmt.Sprintf("line%d", b.line))); err != nil {
				return fmt.Errorf("%s:%d: %w", name, b.line, err)
			}
			written++
		}
	}
	if written == 0 {
		return nil
	}
	for _, args := range [][]string{{"mod", "tidy"}, {"build", "./..."}, {"vet", "./..."}} {
		if _, err := c.tools.run(ctx, place, args...); err != nil {
			return err
		}
	}
	return nil
}

// install installs a command, and asks its version.
func (c *consumer) install(ctx context.Context, m *module) error {
	bin := filepath.Join(c.dir, "bin")
	env := append(slices.Clone(c.tools.env), "GOBIN="+bin)
	if _, err := output(ctx, command{dir: c.dir, env: env}, "go", "install", m.path+"@"+m.version); err != nil {
		return err
	}
	said, err := output(ctx, command{dir: c.dir}, filepath.Join(bin, filepath.Base(m.dir)), "--version")
	if err != nil {
		return err
	}
	if version, _, _ := strings.Cut(said, " "); version != m.version {
		return fmt.Errorf("--version says %q instead of %s", said, m.version)
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

const tableName = "versions.txt"

// The audience of a module, in the third column of the table.
const (
	forUsers = "yes"   // published and supported
	forParts = "parts" // published because published modules import it, without any promise
	forTests = "tests" // published because tests of published modules import it, without any promise
	forUs    = "no"    // not published
)

// A module is a row of the table, and the go.mod in its directory.
type module struct {
	dir      string // relative to the root, with slashes
	version  string // that the next release gives it; empty where it isn't published
	audience string
	path     string
	file     *modfile.File
	siblings []string // directories of the modules of this repository that go.mod requires
}

func (m *module) published() bool { return m.audience != forUs }

// internal reports whether only this repository can import the module.
func (m *module) internal() bool { return strings.HasPrefix(m.dir, "internal/") }

// apart lists modules that the table, go.work, the linters and "make test" leave out, because
// each takes minutes to build. A command of its own tests each: make test-sdk.
var apart = []string{"examples/msgraphsdk"}

// A table has every module of the repository, those that stand apart excepted.
type table struct {
	modules map[string]*module // by directory
	prefix  string             // of every module path, with the last slash
	version string             // of the next release
}

// readTable reads versions.txt and compares it with go.work and with every
// go.mod that git knows. The error lists all differences, each with what to do.
func readTable(ctx context.Context, root string) (*table, error) {
	data, err := os.ReadFile(filepath.Join(root, tableName))
	if err != nil {
		return nil, err
	}
	t, err := parseTable(string(data))
	if err != nil {
		return nil, err
	}
	work, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		return nil, err
	}
	workspace, err := modfile.ParseWork("go.work", work, nil)
	if err != nil {
		return nil, err
	}
	var used []string
	for _, u := range workspace.Use {
		used = append(used, path.Clean(u.Path))
	}
	listed, err := output(ctx, command{dir: root}, "git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "go.mod", "*/go.mod")
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, name := range strings.Fields(listed) {
		if dir := path.Dir(name); !slices.Contains(apart, dir) {
			dirs = append(dirs, dir)
		}
	}
	problems := []error{
		same(tableName, slices.Collect(maps.Keys(t.modules)), "go.work", used),
		same("go.work", used, "git", dirs),
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	for _, m := range t.inOrderOfName() {
		name := m.dir + "/go.mod"
		data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		if m.file, err = modfile.Parse(name, data, nil); err != nil {
			return nil, err
		}
		if m.file.Module == nil {
			return nil, fmt.Errorf("%s names no module", name)
		}
		m.path = m.file.Module.Mod.Path
		prefix, ok := strings.CutSuffix(m.path, m.dir)
		if t.prefix == "" {
			t.prefix = prefix
		}
		if !ok || prefix != t.prefix {
			return nil, fmt.Errorf("%s: the module path is %s, and its directory asks for %s", name, m.path, t.prefix+m.dir)
		}
	}
	return t, t.check()
}

// parseTable reads the rows of versions.txt: directory, version, audience.
func parseTable(text string) (*table, error) {
	t := &table{modules: map[string]*module{}}
	var problems []error
	last := ""
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		complain := func(format string, args ...any) {
			problems = append(problems, fmt.Errorf("%s:%d: %s", tableName, i+1, fmt.Sprintf(format, args...)))
		}
		if len(fields) != 3 {
			complain("a row has three columns: directory, version, published")
			continue
		}
		m := &module{dir: fields[0], version: fields[1], audience: fields[2]}
		switch {
		case !slices.Contains([]string{forUsers, forParts, forTests, forUs}, m.audience):
			complain("published is %s, %s, %s or %s, and not %q", forUsers, forParts, forTests, forUs, m.audience)
		case (m.audience == forParts || m.audience == forTests) && !m.internal():
			complain("%s is %s, and anybody can import it: move it below internal/, or publish it with a promise (%s)", m.dir, m.audience, forUsers)
		case !m.published() && m.version != "-":
			complain("%s isn't published, so its version is -", m.dir)
		case m.published() && (!semver.IsValid(m.version) || semver.Canonical(m.version) != m.version):
			complain("%s: %q is no version such as v0.1.0", m.dir, m.version)
		case m.published() && t.version != "" && m.version != t.version:
			complain("%s has %s, and the modules above have %s: all are released together", m.dir, m.version, t.version)
		case m.dir <= last:
			complain("%s stands below %s: rows are in the order of their names, each once", m.dir, last)
		}
		if m.published() {
			t.version = m.version
		} else {
			m.version = ""
		}
		t.modules[m.dir] = m
		last = m.dir
	}
	if len(problems) == 0 && t.version == "" {
		problems = append(problems, fmt.Errorf("%s publishes no module", tableName))
	}
	return t, errors.Join(problems...)
}

// same says which directories one list has and the other lacks.
func same(leftName string, left []string, rightName string, right []string) error {
	var problems []error
	for _, dir := range left {
		if !slices.Contains(right, dir) {
			problems = append(problems, fmt.Errorf("%s has the module %s, and %s hasn't: add it there, or remove it here", leftName, dir, rightName))
		}
	}
	for _, dir := range right {
		if !slices.Contains(left, dir) {
			problems = append(problems, fmt.Errorf("%s has the module %s, and %s hasn't: add it there, or remove it here", rightName, dir, leftName))
		}
	}
	return errors.Join(problems...)
}

// check compares what the go.mod files require of each other with the table.
func (t *table) check() error {
	var problems []error
	for _, m := range t.inOrderOfName() {
		complain := func(format string, args ...any) {
			problems = append(problems, fmt.Errorf("%s/go.mod: %s", m.dir, fmt.Sprintf(format, args...)))
		}
		for _, r := range m.file.Require {
			dir, ok := strings.CutPrefix(r.Mod.Path, t.prefix)
			if !ok {
				continue
			}
			sibling := t.modules[dir]
			switch {
			case sibling == nil:
				complain("%s is required, and there is no such module", r.Mod.Path)
				continue
			case m.published() && !sibling.published():
				complain("%s is required, which isn't published: publish it in %s, or don't require it", r.Mod.Path, tableName)
			case sibling.published() && r.Mod.Version != sibling.version:
				complain("%s is required at %s, and %s says %s", r.Mod.Path, r.Mod.Version, tableName, sibling.version)
			}
			m.siblings = append(m.siblings, dir)
			target, err := filepath.Rel(filepath.FromSlash(m.dir), filepath.FromSlash(dir))
			if err != nil {
				return err
			}
			if got := replacement(m.file, r.Mod.Path); path.Clean(got) != filepath.ToSlash(target) {
				complain("%s is replaced by %q, and stands in %q", r.Mod.Path, got, filepath.ToSlash(target))
			}
		}
		for _, r := range m.file.Replace {
			if !strings.HasPrefix(r.Old.Path, t.prefix) && m.published() {
				complain("%s is replaced: users of a module don't get its replacements", r.Old.Path)
			}
		}
	}
	if _, err := t.inOrderOfDependency(); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// replacement returns the directory that stands for a module, or "".
func replacement(f *modfile.File, modulePath string) string {
	for _, r := range f.Replace {
		if r.Old.Path == modulePath {
			return r.New.Path
		}
	}
	return ""
}

func (t *table) inOrderOfName() []*module {
	return slices.SortedFunc(maps.Values(t.modules), func(a, b *module) int { return strings.Compare(a.dir, b.dir) })
}

// inOrderOfDependency returns the published modules, each after those that it
// requires.
func (t *table) inOrderOfDependency() ([]*module, error) {
	var order []*module
	const entered, done = 1, 2
	state := map[string]int{}
	var visit func(m *module, way []string) error
	visit = func(m *module, way []string) error {
		way = append(way, m.dir)
		switch state[m.dir] {
		case done:
			return nil
		case entered:
			return fmt.Errorf("modules require each other in a circle, so that none can be the first: %s", strings.Join(way, " requires "))
		}
		state[m.dir] = entered
		for _, dir := range m.siblings {
			if err := visit(t.modules[dir], way); err != nil {
				return err
			}
		}
		state[m.dir] = done
		if m.published() {
			order = append(order, m)
		}
		return nil
	}
	for _, m := range t.inOrderOfName() {
		if err := visit(m, nil); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// setVersion writes the version of the next release into the table and into
// what the go.mod files require of each other.
func setVersion(ctx context.Context, root, version string) error {
	t, err := readTable(ctx, root)
	if err != nil {
		return err
	}
	if semver.Canonical(version) != version || version == "" {
		return fmt.Errorf("%q isn't a version such as v0.2.0", version)
	}
	name := filepath.Join(root, tableName)
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	lines := strings.Split(string(data), "\n")
	for i, line := range lines {
		if fields := strings.Fields(line); len(fields) > 1 && t.modules[fields[0]] != nil {
			lines[i] = strings.Replace(line, " "+t.version+" ", " "+version+" ", 1)
		}
	}
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		return err
	}
	for _, m := range t.inOrderOfName() {
		for _, dir := range m.siblings {
			if err := m.file.AddRequire(t.prefix+dir, version); err != nil {
				return err
			}
		}
		if err := writeModFile(filepath.Join(root, filepath.FromSlash(m.dir)), m.file); err != nil {
			return err
		}
	}
	return nil
}

func writeModFile(dir string, f *modfile.File) error {
	f.Cleanup()
	data, err := f.Format()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "go.mod"), data, 0o644)
}

package main

import (
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// readClone returns the directory of this clone, and its table.
func readClone(t *testing.T) (root string, modules *table) {
	t.Helper()
	root, err := output(t.Context(), command{}, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		t.Skipf("this is no clone of the repository: %v", err)
	}
	modules, err = readTable(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	return root, modules
}

var (
	box   = regexp.MustCompile(`(?m)^\t(\w+) \[label="([^"]*)"`)
	arrow = regexp.MustCompile(`(?m)^\t(\w+) -> (\w+)\b`)
)

func TestThePictureOfTheHouseHasEveryModuleAndEveryImport(t *testing.T) {
	root, table := readClone(t)
	text, err := os.ReadFile(filepath.Join(root, "docs", "pictures", "house.dot"))
	if err != nil {
		t.Fatal(err)
	}
	boxOf := map[string]string{} // by the module's directory
	for _, found := range box.FindAllStringSubmatch(string(text), -1) {
		for _, line := range strings.Split(found[2], `\n`) {
			if table.modules[line] == nil {
				continue
			}
			if boxOf[line] != "" {
				t.Errorf("the module %s stands in the boxes %s and %s", line, boxOf[line], found[1])
			}
			boxOf[line] = found[1]
		}
	}
	drawn := map[string]bool{}
	for _, found := range arrow.FindAllStringSubmatch(string(text), -1) {
		drawn[found[1]+" -> "+found[2]] = true
	}
	imported := map[string]bool{}
	for _, m := range table.inOrderOfName() {
		if !isDrawn(m) {
			continue
		}
		if boxOf[m.dir] == "" {
			t.Errorf("house.dot has no line for the module %s", m.dir)
		}
		for _, dir := range importedModules(t, root, table, m) {
			if from, to := boxOf[m.dir], boxOf[dir]; from != to && isDrawn(table.modules[dir]) {
				imported[from+" -> "+to] = true
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(drawn)), slices.Sorted(maps.Keys(imported)); !slices.Equal(got, want) {
		t.Errorf("house.dot has the arrows\n\t%s\nand the packages import\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// isDrawn reports whether the picture has the module: of those that only this repository
// can import, it has the parts of others.
func isDrawn(m *module) bool { return !m.internal() || m.audience == forParts }

// A module for tests promises nothing, and a published package that imported it would
// bring it into every user's program.
func TestOnlyTestsImportAModuleForTests(t *testing.T) {
	root, table := readClone(t)
	for _, m := range table.inOrderOfName() {
		if m.audience != forUsers && m.audience != forParts {
			continue
		}
		for _, dir := range importedModules(t, root, table, m) {
			if audience := table.modules[dir].audience; audience != forUsers && audience != forParts {
				t.Errorf("packages of %s import %s, which %s marks %q", m.dir, dir, tableName, audience)
			}
		}
	}
}

// importedModules lists the directories of the modules that a module's packages
// import, without its tests.
func importedModules(t *testing.T, root string, all *table, m *module) []string {
	t.Helper()
	var dirs []string
	top := filepath.Join(root, filepath.FromSlash(m.dir))
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); name != top && (err == nil || entry.Name() == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			// The longest module path that fits is the import's module.
			longest := ""
			for dir, other := range all.modules {
				if (path == other.path || strings.HasPrefix(path, other.path+"/")) && len(dir) > len(longest) {
					longest = dir
				}
			}
			if longest != "" && longest != m.dir && !slices.Contains(dirs, longest) {
				dirs = append(dirs, longest)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return dirs
}

// A program that somebody built and added by mistake makes every clone larger for good.
// So does a database that a test left.
func TestTheRepositoryHasNoLargeFile(t *testing.T) {
	root, _ := readClone(t)
	listed, err := output(t.Context(), command{dir: root}, "git", "ls-files", "-z")
	if err != nil {
		t.Fatal(err)
	}
	const largest = 128 << 10
	for name := range strings.SplitSeq(strings.TrimSuffix(listed, "\x00"), "\x00") {
		info, err := os.Lstat(filepath.Join(root, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, and not yet committed
		}
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > largest {
			t.Errorf("%s has %d bytes, the limit is %d", name, info.Size(), largest)
		}
	}
}

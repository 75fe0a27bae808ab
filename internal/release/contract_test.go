package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// byGoDoc are packages of which the contract names the errors alone, and says so.
var byGoDoc = map[string]bool{"core/backend": true, "core/atomicfile": true}

func TestTheContractNamesEachPackageAndItsFunctionsAndErrors(t *testing.T) {
	root := filepath.Join("..", "..")
	read, err := readTable(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs", "contract.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, word := range regexp.MustCompile(`\w+`).FindAllString(string(text), -1) {
		named[word] = true
	}
	count := 0
	for _, m := range read.modules {
		if m.audience != forUsers {
			continue
		}
		for dir, names := range publicNames(t, root, m.dir) {
			count++
			if pkg := filepath.Base(dir); !strings.Contains(string(text), dir) && !strings.Contains(string(text), pkg+".New(") && !strings.Contains(string(text), pkg+".Open(") {
				t.Errorf("docs/contract.md doesn't name the package %s", dir)
			}
			for _, name := range names {
				if !named[name] && (!byGoDoc[dir] || strings.HasPrefix(name, "Err")) {
					t.Errorf("docs/contract.md doesn't name %s.%s", dir, name)
				}
			}
		}
	}
	if count < 30 {
		t.Errorf("there are %d packages", count)
	}
}

// publicNames returns the exported functions and errors of the packages of one module that
// others can import, by directory.
func publicNames(t *testing.T, root, module string) map[string][]string {
	t.Helper()
	packages := make(map[string][]string)
	err := filepath.WalkDir(filepath.Join(root, module), func(path string, entry fs.DirEntry, err error) error {
		dir, name := filepath.Dir(path), entry.Name()
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "internal" || name == "testdata" || hasOwnModule(path) && path != filepath.Join(root, module)):
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil || file.Name.Name == "main" {
			return err
		}
		below, err := filepath.Rel(root, dir)
		packages[filepath.ToSlash(below)] = append(packages[filepath.ToSlash(below)], exportedIn(file)...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

func hasOwnModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// exportedIn returns the functions and the errors that a file exports.
func exportedIn(file *ast.File) (names []string) {
	for _, declared := range file.Decls {
		switch d := declared.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.IsExported() {
				names = append(names, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				values, isValue := spec.(*ast.ValueSpec)
				if !isValue {
					continue
				}
				for _, name := range values.Names {
					if strings.HasPrefix(name.Name, "Err") {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	return names
}

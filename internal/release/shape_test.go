package main

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// methodFiles says in which file of a backend each exported method of its Backend
// stands, and in which order: a reader of one backend finds the way in all of them. The
// first file has the package's name.
var methodFiles = []struct {
	file    string
	methods []string
}{
	{"", []string{"New", "Place", "Format"}},
	{"load.go", []string{"Load", "Check"}},
	{"save.go", []string{"Save", "MaxSize", "Delete"}},
	{"lease.go", []string{"Acquire", "ShouldRefresh", "Wait"}},
	{"keys.go", []string{"Keys"}},
	{"ping.go", []string{"Ping", "Probe", "Space"}},
}

// ofOneBackend are the methods that no other backend has.
var ofOneBackend = map[string]string{"Migrate": "backends/sql/ping.go", "Persists": "backends/redis/ping.go"}

func TestEachMethodOfABackendStandsInTheFileOfItsName(t *testing.T) {
	root := filepath.Join("..", "..")
	names, err := os.ReadDir(filepath.Join(root, "backends"))
	if err != nil {
		t.Fatal(err)
	}
	if len(names) < 9 {
		t.Fatalf("there are %d backends", len(names))
	}
	for _, name := range names {
		dir := filepath.Join("backends", name.Name())
		found := methodsIn(t, root, dir)
		want := make(map[string]string)
		for _, c := range methodFiles {
			file := filepath.Join(dir, cmp.Or(c.file, name.Name()+".go"))
			var present []string
			for _, method := range c.methods {
				want[method] = file
				if slices.Contains(found[file], method) {
					present = append(present, method)
				}
			}
			if len(present) == 0 {
				t.Errorf("%s has none of the methods %s", file, strings.Join(c.methods, ", "))
			}
			if known := slices.DeleteFunc(slices.Clone(found[file]), func(m string) bool { return !slices.Contains(c.methods, m) }); !slices.Equal(known, present) {
				t.Errorf("%s has its methods in the order %q, not %q", file, known, present)
			}
		}
		for _, file := range slices.Sorted(maps.Keys(found)) {
			for _, method := range found[file] {
				if at := cmp.Or(want[method], ofOneBackend[method]); filepath.ToSlash(at) != filepath.ToSlash(file) {
					t.Errorf("%s stands in %s, and belongs in %s", method, file, cmp.Or(at, "methodFiles"))
				}
			}
		}
	}
}

// Every operation runs through package backend, which checks the key and the context,
// and names the backend in the error.
func TestEachMethodOfABackendRunsThroughPackageBackend(t *testing.T) {
	root := filepath.Join("..", "..")
	dirs, err := filepath.Glob(filepath.Join(root, "backends", "*"))
	if err != nil || len(dirs) < 9 {
		t.Fatal(dirs, err)
	}
	notOperations := []string{"New", "Place", "Format", "MaxSize"}
	for _, dir := range append(dirs, filepath.Join(root, "examples", "bbolt")) {
		eachMethod(t, dir, func(file string, f *ast.FuncDecl) {
			if !slices.Contains(notOperations, f.Name.Name) && !usesPackageBackend(f) {
				t.Errorf("%s: %s runs without package backend", file, f.Name.Name)
			}
		})
	}
}

// usesPackageBackend reports whether a method calls a function of package backend, or a
// method of the origin.
func usesPackageBackend(f *ast.FuncDecl) (uses bool) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if call, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := call.X.(*ast.Ident); ok && (x.Name == "backend" || x.Name == "origin") {
				uses = true
			}
		}
		return true
	})
	return uses
}

// methodsIn returns the exported methods of the Backend in a directory, and New, by file.
func methodsIn(t *testing.T, root, dir string) map[string][]string {
	found := make(map[string][]string)
	eachMethod(t, filepath.Join(root, dir), func(file string, f *ast.FuncDecl) {
		file = filepath.Join(dir, filepath.Base(file))
		found[file] = append(found[file], f.Name.Name)
	})
	return found
}

func eachMethod(t *testing.T, dir string, do func(file string, f *ast.FuncDecl)) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if ok && f.Name.IsExported() && (isBackends(f) || f.Recv == nil && f.Name.Name == "New") {
				do(file, f)
			}
		}
	}
}

// isBackends reports whether f is a method of *Backend.
func isBackends(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return false
	}
	star, ok := f.Recv.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	of, ok := star.X.(*ast.Ident)
	return ok && of.Name == "Backend"
}

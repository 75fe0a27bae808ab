package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestVersionsTxtAgreesWithGoWorkAndTheGoModFiles(t *testing.T) {
	root, err := output(t.Context(), command{}, "git", "rev-parse", "--show-toplevel")
	if err != nil {
		t.Skipf("this is no clone, so there is nothing to compare: %v", err)
	}
	if _, err := readTable(t.Context(), root); err != nil {
		t.Error(err)
	}
}

func TestARowOfVersionsTxtIsRefused(t *testing.T) {
	for why, c := range map[string]struct{ rows, want string }{
		"a column is missing":                       {"core v0.1.0", "three columns"},
		"nobody knows whether it is published":      {"core v0.1.0 maybe", `"maybe"`},
		"the version is none":                       {"core 0.1 yes", `"0.1"`},
		"the version is shortened":                  {"core v0.1 yes", `"v0.1"`},
		"what isn't published has a version":        {"core v0.1.0 yes\ndemo v0.1.0 no", "its version is -"},
		"versions differ":                           {"core v0.1.0 yes\ncrypto v0.2.0 yes", "released together"},
		"rows are out of order":                     {"crypto v0.1.0 yes\ncore v0.1.0 yes", "order of their names"},
		"a module stands twice":                     {"core v0.1.0 yes\ncore v0.1.0 yes", "each once"},
		"a part that anybody can import":            {"core v0.1.0 parts", "anybody can import it"},
		"nothing is published, so nothing to check": {"demo - no", "publishes no module"},
	} {
		if _, err := parseTable(c.rows); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, and doesn't say %q", why, err, c.want)
		}
	}
}

// A repository of four modules: two for users, one that their tests need, one
// that isn't published.
var files = map[string]string{
	"go.work":      "go 1.25.0\n\nuse (\n\t./core\n\t./demo\n\t./internal/kit\n\t./store/file\n)\n",
	"versions.txt": "core v0.1.0 yes\ndemo - no\ninternal/kit v0.1.0 tests\nstore/file v0.1.0 yes\n",
	"LICENSE":      "free\n",
	"CHANGELOG.md": "## [Unreleased]\n\n## [0.1.0] - 2026-12-01\n\n- all\n",

	"core/go.mod":  "module github.com/graphtoken/trial/core\n\ngo 1.25.0\n",
	"core/core.go": "package core\n\nconst Answer = 42\n",

	"internal/kit/go.mod": "module github.com/graphtoken/trial/internal/kit\n\ngo 1.25.0\n\nrequire github.com/graphtoken/trial/core v0.1.0\n\nreplace github.com/graphtoken/trial/core => ../../core\n",
	"internal/kit/kit.go": "package kit\n\nimport \"github.com/graphtoken/trial/core\"\n\nconst Half = core.Answer / 2\n",

	"store/file/go.mod":       "module github.com/graphtoken/trial/store/file\n\ngo 1.25.0\n\nrequire (\n\tgithub.com/graphtoken/trial/core v0.1.0\n\tgithub.com/graphtoken/trial/internal/kit v0.1.0\n)\n\nreplace (\n\tgithub.com/graphtoken/trial/core => ../../core\n\tgithub.com/graphtoken/trial/internal/kit => ../../internal/kit\n)\n",
	"store/file/file.go":      "package file\n\nimport \"github.com/graphtoken/trial/core\"\n\nconst Answer = core.Answer\n",
	"store/file/file_test.go": "package file\n\nimport (\n\t\"testing\"\n\n\t\"github.com/graphtoken/trial/internal/kit\"\n)\n\nfunc TestHalf(t *testing.T) {\n\tif 2*kit.Half != Answer {\n\t\tt.Fail()\n\t}\n}\n",

	"demo/go.mod":  "module github.com/graphtoken/trial/demo\n\ngo 1.25.0\n\nrequire github.com/graphtoken/trial/core v0.1.0\n\nreplace github.com/graphtoken/trial/core => ../core\n",
	"demo/main.go": "package main\n\nimport \"github.com/graphtoken/trial/core\"\n\nfunc main() { println(core.Answer) }\n",
}

// repository commits files, some of them changed, and returns the directory.
func repository(t *testing.T, changed map[string]string) string {
	root := t.TempDir()
	for name, text := range files {
		if other, ok := changed[name]; ok {
			text = other
		}
		name = filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+name+"_NAME", "Ana")
		t.Setenv("GIT_"+name+"_EMAIL", "ana@contoso.com")
	}
	t.Setenv("GOPROXY", "off") // nothing here is anybody else's
	t.Setenv("TMPDIR", t.TempDir())
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all"}, {"commit", "--quiet", "-m", "all"}} {
		if _, err := output(t.Context(), command{dir: root}, "git", args...); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestADifferenceBetweenTheTableAndTheGoModFilesIsSaid(t *testing.T) {
	for why, c := range map[string]struct{ file, old, new, want string }{
		"a module that go.work lacks":        {"go.work", "\t./demo\n", "", "versions.txt has the module demo, and go.work hasn't"},
		"a module that the table lacks":      {"versions.txt", "demo - no\n", "", "go.work has the module demo, and versions.txt hasn't"},
		"another version":                    {"demo/go.mod", "core v0.1.0", "core v0.0.9", "required at v0.0.9"},
		"a sibling that isn't published":     {"versions.txt", "internal/kit v0.1.0 tests", "internal/kit - no", "isn't published"},
		"a replacement that is missing":      {"demo/go.mod", "replace github.com/graphtoken/trial/core => ../core\n", "", "is replaced by"},
		"a replacement by another directory": {"demo/go.mod", "=> ../core", "=> ../store/file", "is replaced by"},
		"a module path of another directory": {"demo/go.mod", "trial/demo", "trial/example", "the module path is"},
		"a sibling that doesn't exist":       {"demo/go.mod", "trial/core v", "trial/cork v", "no such module"},
		"somebody else's module is replaced": {"core/go.mod", "go 1.25.0\n", "go 1.25.0\n\nreplace example.com/a => example.com/b v1.0.0\n", "don't get its replacements"},
		"modules that require each other":    {"core/go.mod", "go 1.25.0\n", "go 1.25.0\n\nrequire github.com/graphtoken/trial/store/file v0.1.0\n\nreplace github.com/graphtoken/trial/store/file => ../store/file\n", "in a circle"},
	} {
		t.Run(why, func(t *testing.T) {
			if !strings.Contains(files[c.file], c.old) {
				t.Fatalf("%s has no %q to change", c.file, c.old)
			}
			root := repository(t, map[string]string{c.file: strings.Replace(files[c.file], c.old, c.new, 1)})
			if _, err := readTable(t.Context(), root); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, and doesn't say %q", err, c.want)
			}
		})
	}
}

func TestATagBuildsAndHasTheChecksumsThatTheGoCommandFindsInIt(t *testing.T) {
	root := repository(t, nil)
	if err := makeRelease(t.Context(), root, "v0.1.0", true); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) string {
		said, err := output(t.Context(), command{dir: root}, "git", args...)
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	tags := strings.Fields(git("tag", "--list"))
	if want := []string{"core/v0.1.0", "internal/kit/v0.1.0", "store/file/v0.1.0"}; !slices.Equal(tags, want) {
		t.Fatalf("the tags are %q, and not %q", tags, want)
	}
	tag := "store/file/v0.1.0"
	if parent := git("rev-parse", tag+"^{commit}^"); parent != git("rev-parse", "HEAD") {
		t.Errorf("the tag's parent is %s, and not HEAD", parent)
	}
	for _, dir := range []string{"core", "internal/kit", "store/file"} {
		if mod := git("show", tag+":"+dir+"/go.mod"); strings.Contains(mod, "replace") {
			t.Errorf("%s is tagged with replacements:\n%s", dir, mod)
		}
	}

	// The go command makes zips of its own from the tags, and compares them with go.sum.
	git("checkout", "--quiet", tag)
	env := []string{
		"GOWORK=off", "GOMODCACHE=" + filepath.Join(t.TempDir(), "modcache"), "GOPROXY=direct", "GONOSUMDB=*",
		"GOFLAGS=-mod=readonly -modcacherw", "GOVCS=*:git",
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=url." + root + ".insteadOf", "GIT_CONFIG_VALUE_0=https://github.com/graphtoken/trial",
	}
	if _, err := output(t.Context(), command{dir: filepath.Join(root, "store", "file"), env: env}, "go", "test", "./..."); err != nil {
		t.Error(err)
	}
}

func TestTheLastReleaseIsTheHighestVersionBeforeThisOne(t *testing.T) {
	root := repository(t, nil)
	for _, tag := range []string{"core/v0.0.2", "core/v0.0.10", "core/v0.1.0", "core/v0.2.0", "demo/v0.0.11-not", "other/v0.0.12", "v0.0.13"} {
		if _, err := output(t.Context(), command{dir: root}, "git", "tag", tag); err != nil {
			t.Fatal(err)
		}
	}
	table, err := readTable(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	c := &consumer{release: &release{scratch: root, table: table}}
	if last, err := c.lastRelease(t.Context()); err != nil || last != "v0.0.10" {
		t.Errorf("the last release is %q, %v", last, err)
	}
}

func TestOneHeadGivesOneCommit(t *testing.T) {
	root := repository(t, nil)
	var commits []string
	for range 2 {
		r, err := prepare(t.Context(), root, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, r.commit)
	}
	if commits[0] != commits[1] {
		t.Errorf("the commits are %s and %s", commits[0], commits[1])
	}
}

func TestAReleaseIsRefused(t *testing.T) {
	root := repository(t, nil)
	ctx := t.Context()
	refused := func(why, version string, tag bool, want string) {
		t.Helper()
		if err := makeRelease(ctx, root, version, tag); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the error is %v, and doesn't say %q", why, err, want)
		}
	}
	refused("versions.txt has another version", "v0.2.0", false, "says v0.1.0")
	if _, err := output(ctx, command{dir: root}, "git", "tag", "core/v0.1.0"); err != nil {
		t.Fatal(err)
	}
	refused("a module has the tag", "v0.1.0", true, "tagged already")
	if err := os.WriteFile(filepath.Join(root, "LICENSE"), []byte("dear\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	refused("a change isn't committed", "v0.1.0", true, "LICENSE")
}

func TestSetWritesTheNextVersionEverywhere(t *testing.T) {
	root := repository(t, nil)
	if err := setVersion(t.Context(), root, "v0.2.0"); err != nil {
		t.Fatal(err)
	}
	table, err := readTable(context.Background(), root)
	if err != nil {
		t.Fatal(err)
	}
	if table.version != "v0.2.0" {
		t.Errorf("versions.txt says %s", table.version)
	}
}

func TestAChangelogIsRefused(t *testing.T) {
	const whole = "# Changelog\n\n## [Unreleased]\n\n## [0.1.0] - 2026-12-01\n\n- all\n\n[0.1.0]: https://contoso.com\n"
	for why, c := range map[string]struct {
		old, new string
		tagged   bool
		want     string // empty: it isn't refused
	}{
		"it isn't: it has all":                              {tagged: true},
		"it isn't: without a date, in a dry run":            {" - 2026-12-01", "", false, ""},
		"it isn't: with something unreleased, in a dry run": {"[Unreleased]\n", "[Unreleased]\n- more\n", false, ""},
		"the version has no section":                        {"[0.1.0] -", "[0.0.9] -", false, "## [0.1.0] is missing or empty"},
		"the section is empty":                              {"- all\n", "", false, "## [0.1.0] is missing or empty"},
		"the section has no date":                           {" - 2026-12-01", "", true, "needs the day"},
		"something is left under Unreleased":                {"[Unreleased]\n", "[Unreleased]\n- more\n", true, "move it there"},
		"a heading has another form":                        {"## [0.1.0] - 2026-12-01", "## v0.1.0", false, "not of the form"},
	} {
		err := checkChangelog(strings.Replace(whole, c.old, c.new, 1), "v0.1.0", c.tagged)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: the error is %v, and should say %q", why, err, c.want)
		}
	}
}

func TestABlockOfAReadmeBecomesAGoFile(t *testing.T) {
	for why, c := range map[string]struct{ block, want string }{
		"a program stays as it is":            {"package main\n\nfunc main() {}\n", "package main\n\nfunc main() {}\n"},
		"declarations get a package":          {"import \"os\"\n\nvar args = os.Args\n", "package readme\nimport \"os\"\n\nvar args = os.Args\n"},
		"statements get a function":           {"import \"os\"\n\nf, err := os.Open(\"a\")\nif err != nil {\n\treturn err\n}\n", "return err\n}\n_ = f\n_ = err\nreturn nil\n}\n"},
		"statements may return by themselves": {"import \"errors\"\n\nreturn errors.New(\"a\")\n", "return errors.New(\"a\")\n}\n"},
	} {
		blocks := goBlocks("text\n```go\n" + c.block + "```\nmore\n")
		if len(blocks) != 1 || blocks[0].line != 3 || !blocks[0].complete {
			t.Fatalf("%s: the blocks are %+v", why, blocks)
		}
		if source, err := blocks[0].source(); err != nil || !strings.HasSuffix(source, c.want) {
			t.Errorf("%s: the file is %q, %v, and should end with %q", why, source, err, c.want)
		}
	}
	if blocks := goBlocks("```go\nx := 1\n```\n"); len(blocks) != 1 || blocks[0].complete {
		t.Errorf("a block without imports can't be compiled, and is %+v", blocks)
	}
}

func TestEveryModuleForUsersHasAReadmeWhoseGoBlocksHaveTheirImports(t *testing.T) {
	root, table := readClone(t)
	names := []string{"README.md"}
	for _, m := range table.inOrderOfName() {
		if m.audience != forUsers {
			continue
		}
		found, err := readmesOf(root, m)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, found...)
	}
	for _, name := range names {
		if _, err := readBlocks(root, name); err != nil {
			t.Error(err)
		}
	}
}

func TestOnlySomeVersionsMayBreakUsers(t *testing.T) {
	for _, c := range []struct {
		last, version string
		may           bool
	}{
		{"v0.1.0", "v0.1.1", false}, {"v0.1.3", "v0.2.0", true}, {"v0.9.0", "v1.0.0", true},
		{"v1.0.0", "v1.1.0", false}, {"v1.9.0", "v2.0.0", true},
	} {
		if mayBreak(c.last, c.version) != c.may {
			t.Errorf("from %s to %s: may break is %v", c.last, c.version, !c.may)
		}
	}
}

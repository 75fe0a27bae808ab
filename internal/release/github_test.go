package main

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestDependabotLooksAfterEveryModule(t *testing.T) {
	root, table := readClone(t)
	text := readText(t, root, ".github/dependabot.yml")
	_, gomod, _ := strings.Cut(text, "package-ecosystem: gomod\n")
	gomod, _, _ = strings.Cut(gomod, "\n    schedule:")
	var listed []string
	for _, found := range regexp.MustCompile(`(?m)^      - /(\S+)$`).FindAllStringSubmatch(gomod, -1) {
		listed = append(listed, found[1])
	}
	if err := same(".github/dependabot.yml", listed, tableName, append(slices.Collect(maps.Keys(table.modules)), apart...)); err != nil {
		t.Error(err)
	}
}

func TestTheWorkflowHasTheGoReleaseOfTheWorkspace(t *testing.T) {
	root, _ := readClone(t)
	release := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(readText(t, root, "go.work"))
	if release == nil {
		t.Fatal("go.work has no line that says which Go release")
	}
	if image := "container: golang:" + release[1] + "-"; !strings.Contains(readText(t, root, ".github/workflows/ci.yml"), image) {
		t.Errorf("ci.yml should have %q, because go.work says so", image)
	}
}

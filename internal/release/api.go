package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

const apidiff = "golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4"

// compare prints how the API of every supported module differs from the last release
// before this one. A change that breaks users is an error unless the version announces it
// (https://go.dev/doc/modules/version-numbers): v0.1.4 to v0.2.0, v1.2.0 to v2.0.0.
func (c *consumer) compare(ctx context.Context) error {
	last, err := c.lastRelease(ctx)
	if err != nil {
		return err
	}
	if last == "" {
		fmt.Printf("!!! NOT COMPARED: no tag here is of a version before %s, so there is no API to compare with\n", c.table.version)
		return nil
	}
	bin := filepath.Join(c.dir, "bin")
	if _, err := output(ctx, command{env: []string{"GOWORK=off", "GOFLAGS=", "GOBIN=" + bin}}, "go", "install", apidiff); err != nil {
		return err
	}
	var compared []*module
	for _, m := range c.order {
		tag := m.dir + "/" + last
		date, err := output(ctx, command{dir: c.scratch}, "git", "log", "-1", "--format=%cI", tag, "--")
		if err != nil {
			continue // a module that the last release didn't have
		}
		at, err := time.Parse(time.RFC3339, date)
		if err != nil {
			return err
		}
		if err := c.pack(m.dir, last, tag, at); err != nil {
			return err
		}
		if m.audience == forUsers && !strings.HasPrefix(m.dir, "cmd/") {
			compared = append(compared, m)
		}
	}
	var jobs []job
	for _, m := range compared {
		jobs = append(jobs, job{m.dir + ": API compared with " + last, func() error { return c.compareOne(ctx, m, last, filepath.Join(bin, "apidiff")) }})
	}
	return runAll(jobs)
}

// lastRelease returns the highest version before this one that a tag of a
// published module has, or "".
func (c *consumer) lastRelease(ctx context.Context) (string, error) {
	tags, err := output(ctx, command{dir: c.scratch}, "git", "tag", "--list")
	if err != nil {
		return "", err
	}
	last := ""
	for _, tag := range strings.Fields(tags) {
		dir, version := filepath.Split(filepath.FromSlash(tag))
		m := c.table.modules[strings.TrimSuffix(filepath.ToSlash(dir), "/")]
		if m != nil && m.published() && semver.Compare(version, c.table.version) < 0 && semver.Compare(version, last) > 0 {
			last = version
		}
	}
	return last, nil
}

func (c *consumer) compareOne(ctx context.Context, m *module, last, apidiff string) error {
	var exports []string
	for _, version := range []string{last, m.version} {
		place := c.place("api/" + version + "/" + m.dir)
		if err := c.begin(ctx, place); err != nil {
			return err
		}
		if _, err := c.tools.run(ctx, place, "get", m.path+"/...@"+version); err != nil {
			return err
		}
		exports = append(exports, filepath.Join(place, "export"))
		env := append(slices.Clone(c.tools.env), "PWD="+place)
		if _, err := output(ctx, command{dir: place, env: env}, apidiff, "-m", "-w", exports[len(exports)-1], m.path); err != nil {
			return err
		}
	}
	changes, err := output(ctx, command{dir: c.dir}, apidiff, append([]string{"-m"}, exports...)...)
	if err != nil {
		return err
	}
	if changes != "" {
		fmt.Fprintf(os.Stdout, "%s since %s:\n%s\n", m.dir, last, changes)
	}
	if strings.Contains(changes, "Incompatible changes:") && !mayBreak(last, m.version) {
		return fmt.Errorf("%s breaks users of %s", m.version, last)
	}
	return nil
}

// mayBreak says whether users expect a version to break what worked with last.
func mayBreak(last, version string) bool {
	if semver.Major(version) == "v0" {
		return semver.MajorMinor(version) != semver.MajorMinor(last)
	}
	return semver.Major(version) != semver.Major(last)
}

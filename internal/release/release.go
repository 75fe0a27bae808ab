package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// makeRelease makes the commit of a release, builds it, and prints the tags that it gets.
// If tag is true, it makes the tags in the repository at root, and pushes nothing.
// Otherwise the scratch clone stays, so that somebody can look at it.
func makeRelease(ctx context.Context, root, version string, tag bool) (err error) {
	t, err := readTable(ctx, root)
	if err != nil {
		return err
	}
	if version != t.version {
		return fmt.Errorf("%s says %s: `scripts/release --set %s` writes another, which is to be committed", tableName, t.version, version)
	}
	git := func(args ...string) (string, error) { return output(ctx, command{dir: root}, "git", args...) }
	changed, err := git("status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		if tag {
			return fmt.Errorf("what isn't committed would not be released:\n%s", changed)
		}
		fmt.Printf("not part of this, since it isn't committed:\n%s\n", changed)
	}

	dir, err := os.MkdirTemp("", "graphtoken-release-")
	if err != nil {
		return err
	}
	defer func() {
		remove := dir
		if err == nil && !tag {
			remove = moduleCache(dir)
		}
		err = errors.Join(err, os.RemoveAll(remove))
	}()
	r, err := prepare(ctx, root, dir)
	if err != nil {
		return err
	}
	changelog, err := os.ReadFile(filepath.Join(r.scratch, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	if err := checkChangelog(string(changelog), version, tag); err != nil {
		return err
	}
	tags := make([]string, len(r.order))
	for i, m := range r.order {
		tags[i] = m.dir + "/" + version
		if _, err := git("rev-parse", "--quiet", "--verify", "refs/tags/"+tags[i]); err == nil {
			return fmt.Errorf("%s is tagged already: a version is published once; `scripts/release --set` writes the next", tags[i])
		}
	}
	var jobs []job
	for _, m := range r.order {
		jobs = append(jobs, job{"the tag of " + m.dir + " builds", func() error { return r.buildsAlone(ctx, m) }})
	}
	if err := runAll(jobs); err != nil {
		return err
	}
	if !tag {
		fmt.Printf("\nThe commit is %s in %s\nWith --tag it would get these tags:\n\t%s\n", r.commit, r.scratch, strings.Join(tags, "\n\t"))
		return nil
	}
	if _, err := git("fetch", "--quiet", "--no-tags", r.scratch, r.commit); err != nil {
		return err
	}
	for i, m := range r.order {
		if _, err := git("tag", "-a", "-m", m.dir+" "+version, tags[i], r.commit); err != nil {
			return fmt.Errorf("%d of %d tags are made: %w", i, len(tags), err)
		}
	}
	fmt.Printf("\ntagged, and not pushed:\n\t%s\n\ngit push --atomic origin %s\n", strings.Join(tags, "\n\t"), strings.Join(tags, " "))
	return nil
}

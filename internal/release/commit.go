package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	gomodule "golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// A release is a commit in a scratch clone, and what it publishes.
type release struct {
	scratch string    // the clone, at the commit
	commit  string    // its parent is the commit that was released
	order   []*module // published, in order of dependency
	table   *table
	tools   *toolchain
	proxy   string // a directory that serves the published modules, for GOPROXY=file://…
}

// prepare makes the commit of a release below dir: what is committed at HEAD of
// root, with go.mod and go.sum files as a published module has them. The same
// HEAD gives the same commit.
func prepare(ctx context.Context, root, dir string) (*release, error) {
	r := &release{scratch: filepath.Join(dir, "clone"), proxy: filepath.Join(dir, "proxy")}
	head, err := output(ctx, command{dir: root}, "git", "rev-parse", "HEAD")
	if err != nil {
		return nil, err
	}
	if _, err := output(ctx, command{}, "git", "clone", "--quiet", "--no-checkout", root, r.scratch); err != nil {
		return nil, err
	}
	git := func(args ...string) (string, error) { return output(ctx, command{dir: r.scratch}, "git", args...) }
	if _, err := git("checkout", "--quiet", "--detach", head); err != nil {
		return nil, err
	}
	if r.table, err = readTable(ctx, r.scratch); err != nil {
		return nil, err
	}
	if r.order, err = r.table.inOrderOfDependency(); err != nil {
		return nil, err
	}
	date, err := git("log", "-1", "--format=%cI")
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339, date)
	if err != nil {
		return nil, err
	}
	if r.tools, err = newToolchain(ctx, r, dir); err != nil {
		return nil, err
	}
	// A go.sum has the checksums of the modules that are required, their go.sum
	// files included, so each module is packed before those that require it.
	for _, stage := range stages(r.order) {
		var jobs []job
		for _, m := range stage {
			jobs = append(jobs, job{do: func() error { return r.finish(ctx, m) }})
		}
		if err := runAll(jobs); err != nil {
			return nil, err
		}
		if _, err := git("add", "--all"); err != nil {
			return nil, err
		}
		tree, err := git("write-tree")
		if err != nil {
			return nil, err
		}
		for _, m := range stage {
			if err := r.pack(m.dir, m.version, tree, at); err != nil {
				return nil, err
			}
		}
	}
	who, err := git("log", "-1", "--format=%cn%n%ce")
	if err != nil {
		return nil, err
	}
	name, email, _ := strings.Cut(who, "\n")
	identity := command{dir: r.scratch, env: []string{
		"GIT_AUTHOR_NAME=" + name, "GIT_AUTHOR_EMAIL=" + email, "GIT_AUTHOR_DATE=" + date,
		"GIT_COMMITTER_NAME=" + name, "GIT_COMMITTER_EMAIL=" + email, "GIT_COMMITTER_DATE=" + date,
	}}
	message := fmt.Sprintf("Release %s\n\nMade by scripts/release of %s: the go.mod files of published modules\nwithout replacements, and their go.sum files with each other's checksums.", r.table.version, head)
	if _, err := output(ctx, identity, "git", "commit", "--quiet", "--no-verify", "--no-gpg-sign", "--allow-empty", "-m", message); err != nil {
		return nil, err
	}
	r.commit, err = git("rev-parse", "HEAD")
	return r, err
}

// finish writes the go.mod and go.sum that are published: without replacements,
// and with the checksums of what the proxy has by now.
func (r *release) finish(ctx context.Context, m *module) error {
	for _, old := range slices.Clone(m.file.Replace) {
		if err := m.file.DropReplace(old.Old.Path, old.Old.Version); err != nil {
			return err
		}
	}
	dir := filepath.Join(r.scratch, filepath.FromSlash(m.dir))
	if err := writeModFile(dir, m.file); err != nil {
		return err
	}
	_, err := r.tools.run(ctx, dir, "mod", "tidy")
	return err
}

// stages divides modules, which are in order of dependency, so that none
// requires another of its own stage or of a later one.
func stages(order []*module) [][]*module {
	var all [][]*module
	at := map[string]int{}
	for _, m := range order {
		for _, dir := range m.siblings {
			at[m.dir] = max(at[m.dir], at[dir]+1)
		}
		if at[m.dir] == len(all) {
			all = append(all, nil)
		}
		all[at[m.dir]] = append(all[at[m.dir]], m)
	}
	return all
}

// pack puts one module of a git tree into the proxy
// (https://go.dev/ref/mod#goproxy-protocol).
func (r *release) pack(dir, version, tree string, at time.Time) error {
	mod := gomodule.Version{Path: r.table.prefix + dir, Version: version}
	escaped, err := gomodule.EscapePath(mod.Path)
	if err != nil {
		return err
	}
	place := filepath.Join(r.proxy, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(place, 0o755); err != nil {
		return err
	}
	var packed bytes.Buffer
	if err := modzip.CreateFromVCS(&packed, mod, r.scratch, tree, dir); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	goMod, err := fileOf(packed.Bytes(), mod, "go.mod")
	if err != nil {
		return err
	}
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, at.UTC()})
	if err != nil {
		return err
	}
	list, err := os.OpenFile(filepath.Join(place, "list"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(list, version)
	if closed := list.Close(); err == nil {
		err = closed
	}
	for suffix, data := range map[string][]byte{".info": info, ".mod": goMod, ".zip": packed.Bytes()} {
		if err == nil {
			err = os.WriteFile(filepath.Join(place, version+suffix), data, 0o644)
		}
	}
	return err
}

// fileOf returns a file of a module's zip (https://go.dev/ref/mod#zip-files).
func fileOf(packed []byte, mod gomodule.Version, name string) ([]byte, error) {
	archive, err := zip.NewReader(bytes.NewReader(packed), int64(len(packed)))
	if err != nil {
		return nil, err
	}
	file, err := archive.Open(mod.String() + "/" + name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(file)
}

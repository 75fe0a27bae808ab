package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// directory looks at who may put files beside the records.
func (d *checkup) directory(context.Context) []finding {
	if d.Path == "" {
		return nil
	}
	if err := d.own(); err != nil {
		return []finding{bad("Make a directory for this user alone: chmod 700, and chown it.", "%v", err)}
	}
	if _, err := d.paths(); err != nil {
		return []finding{bad("Give this user the right to read it.", "%v", err)}
	}
	return nil
}

// paths are the files of the store, or that of its database.
func (d *checkup) paths() ([]string, error) {
	if d.Kind != "file" || d.Key != "" {
		return []string{d.Path}, nil
	}
	entries, err := os.ReadDir(d.Path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil // the first save makes it
	}
	var paths []string
	for _, e := range entries {
		if !e.IsDir() {
			paths = append(paths, filepath.Join(d.Path, e.Name()))
		}
	}
	return paths, err
}

// files looks at modes and owners, links, and mount points.
func (d *checkup) files(context.Context) (all []finding) {
	if d.Path == "" {
		return nil
	}
	paths, _ := d.paths() // directory tells the error
	mounts := mountPoints()
	for _, path := range paths {
		all = append(all, lookAtFile(path, mounts)...)
	}
	return all
}

func lookAtFile(path string, mounts mounts) (all []finding) {
	link, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return []finding{bad("Give this user the right to look at it.", "%v", err)}
	}
	if link.Mode()&os.ModeSymlink != 0 {
		target, _ := filepath.EvalSymlinks(path)
		all = append(all, risky("Name the target in the URL. A save replaces the target, and a link that a deployment exchanges would lose it.", "%s is a link to %s", path, target))
	}
	if absolute, err := filepath.Abs(path); err == nil && mounts[absolute] != "" {
		all = append(all, risky("Mount the directory instead. A mounted file can't be replaced in one step, so a crash during a save can damage it.", "%s is a mount point", path))
	}
	info, err := os.Stat(path)
	if err != nil {
		return append(all, bad("Mend the link, or remove it.", "%v", err))
	}
	if !hasModes {
		return all
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		all = append(all, bad("chmod 600 it. If others may have read it, sign in again, and revoke the old sessions.", "others can read or write %s, mode %04o", path, mode))
	}
	if uid, known := ownerOf(info); known && uid != os.Geteuid() {
		all = append(all, risky("Run graphtoken as that user: sudo -u USER graphtoken …", "%s belongs to the user with ID %d, and this is %d", path, uid, os.Geteuid()))
	}
	return all
}

// networked are file systems of other machines.
var networked = []string{"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "fuse.glusterfs", "vboxsf", "virtiofs"}

// fileSystem looks whether the store's locks hold between machines.
func (d *checkup) fileSystem(context.Context) []finding {
	if d.Path == "" {
		return nil
	}
	return lookAtFileSystem(d.Path, mountPoints())
}

func lookAtFileSystem(path string, mounts mounts) []finding {
	kind := mounts.kindOf(path)
	if !slices.Contains(networked, kind) {
		return nil
	}
	return []finding{risky("Keep the record on a local disk, or in a store made for several machines (redis, postgres, s3).", "%s is on %s, whose locks may not hold between machines", path, kind)}
}

// mounts are the kinds of file systems, by mount point. It is empty where the system has
// no /proc.
type mounts map[string]string

// mountPoints reads /proc/self/mountinfo: see proc_pid_mountinfo(5).
func mountPoints() mounts {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	all := mounts{}
	for line := range strings.Lines(string(data)) {
		place, kind, _ := strings.Cut(line, " - ")
		if fields, kinds := strings.Fields(place), strings.Fields(kind); len(fields) > 4 && len(kinds) > 0 {
			all[strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])] = kinds[0]
		}
	}
	return all
}

// kindOf is the kind of the file system that has path.
func (m mounts) kindOf(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	for {
		if kind := m[path]; kind != "" {
			return kind
		}
		parent := filepath.Dir(path)
		if parent == path {
			return ""
		}
		path = parent
	}
}

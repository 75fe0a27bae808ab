package filesystem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// Records whose name no other file can take. Each is made for real, by mounts, flags
// of files and other users, which needs root.

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		peer.Wanted(t, "root", "run the tests as root: mounts, immutable files and other users' files need it")
	}
}

// run runs a command that a test can't do without.
func run(t *testing.T, undo []string, command ...string) {
	t.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		peer.Wanted(t, command[0], fmt.Sprintf("%q says %v: %s", command, err, out))
	}
	t.Cleanup(func() {
		if out, err := exec.Command(undo[0], undo[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v: %s", undo, err, out)
		}
	})
}

func bind(t *testing.T, file, over string) {
	t.Helper()
	run(t, []string{"umount", over}, "mount", "--bind", file, over)
}

func write(t *testing.T, path string, data []byte, mode fs.FileMode, uid int) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func makeDirectory(t *testing.T, path string, mode fs.FileMode, uid int) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// tiny mounts a file system of 200 KB.
func tiny(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run(t, []string{"umount", dir}, "mount", "-t", "tmpfs", "-o", "size=200k,mode=700", "tiny", dir)
	return dir
}

func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

const nobody = 65534

func TestProbeSaysBeforehandWhatSaveDoes(t *testing.T) {
	needRoot(t)
	old := record(1, 3000)
	tests := []struct {
		state   string
		prepare func(t *testing.T, top, dir string) (record string) // dir is nobody's, 0700; returns the record's file
		as      int
		fails   error // nil: saved, in place
		pings   error // nil: as fails
	}{
		{"a mount point", func(t *testing.T, top, dir string) string {
			host := filepath.Join(top, "host")
			write(t, host, old, 0o640, nobody)
			write(t, filepath.Join(dir, "k"), nil, 0o600, nobody)
			bind(t, host, filepath.Join(dir, "k"))
			return host
		}, nobody, nil, nil},
		{"a link into a directory that can't be written", func(t *testing.T, top, dir string) string {
			makeDirectory(t, filepath.Join(top, "etc"), 0o755, 0)
			target := filepath.Join(top, "etc", "token")
			write(t, target, old, 0o660, nobody)
			if err := os.Symlink(target, filepath.Join(dir, "k")); err != nil {
				t.Fatal(err)
			}
			return target
		}, nobody, nil, nil},
		{"another's file in a sticky directory", func(t *testing.T, top, dir string) string {
			makeDirectory(t, dir, 0o777|fs.ModeSticky, 0)
			write(t, filepath.Join(dir, "k"), old, 0o666, 0)
			return filepath.Join(dir, "k")
		}, nobody, nil, core.ErrUnsafeDirectory},
		{"another's file that its group may write", func(t *testing.T, top, dir string) string {
			write(t, filepath.Join(dir, "k"), old, 0o664, 0)
			if err := os.Chown(filepath.Join(dir, "k"), 0, nobody); err != nil {
				t.Fatal(err)
			}
			return filepath.Join(dir, "k")
		}, nobody, nil, nil},
		{"another's file that can be read only", func(t *testing.T, top, dir string) string {
			write(t, filepath.Join(dir, "k"), old, 0o644, 0)
			return filepath.Join(dir, "k")
		}, nobody, fs.ErrPermission, nil},
		{"a directory that can't be changed any more", func(t *testing.T, top, dir string) string {
			write(t, filepath.Join(dir, "k"), old, 0o600, nobody)
			makeDirectory(t, filepath.Join(dir, helpers), 0o700, nobody)
			makeDirectory(t, dir, 0o555, 0)
			return filepath.Join(dir, "k")
		}, nobody, nil, fs.ErrPermission}, // no new record could be made
		{"an immutable file", func(t *testing.T, top, dir string) string {
			file := filepath.Join(dir, "k")
			write(t, file, old, 0o600, nobody)
			run(t, []string{"chattr", "-i", file}, "chattr", "+i", file)
			return file
		}, nobody, fs.ErrPermission, nil},
		{"an immutable file, and root", func(t *testing.T, top, dir string) string {
			makeDirectory(t, dir, 0o700, 0)
			file := filepath.Join(dir, "k")
			write(t, file, old, 0o600, 0)
			run(t, []string{"chattr", "-i", file}, "chattr", "+i", file)
			return file
		}, 0, fs.ErrPermission, nil},
		{"a mount point on a full disk", func(t *testing.T, top, dir string) string {
			disk := tiny(t)
			host := filepath.Join(disk, "host")
			write(t, host, old, 0o600, nobody)
			fill(t, disk)
			write(t, filepath.Join(dir, "k"), nil, 0o600, nobody)
			bind(t, host, filepath.Join(dir, "k"))
			return host
		}, nobody, syscall.ENOSPC, nil},
		{"a mount point that is read-only", func(t *testing.T, top, dir string) string {
			host, over := filepath.Join(top, "host"), filepath.Join(dir, "k")
			write(t, host, old, 0o600, nobody)
			write(t, over, nil, 0o600, nobody)
			bind(t, host, over)
			if out, err := exec.Command("mount", "-o", "remount,bind,ro", over).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			return host
		}, nobody, core.ErrReadOnly, nil},
	}
	for _, tt := range tests {
		t.Run(tt.state, func(t *testing.T) {
			top := publicDir(t)
			dir := filepath.Join(top, "tokens")
			makeDirectory(t, dir, 0o700, nobody)
			file := tt.prepare(t, top, dir)
			before, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}

			p := start(t, "probe", dir, func(cmd *exec.Cmd) {
				if tt.as != 0 {
					forNobody(t, cmd)
				}
			})
			said := map[string]string{}
			for line := p.line(); line != ""; line = p.line() {
				op, what, _ := strings.Cut(line, " = ")
				said[op] = what
			}
			pings := tt.fails
			if tt.pings != nil {
				pings = tt.pings
			}
			for op, want := range map[string]error{"probe": tt.fails, "save": tt.fails, "ping": pings} {
				if got := said[op]; got != kindOf(want) {
					t.Errorf("%s: %s; want %q", op, got+said[op+" says"], kindOf(want))
				}
			}

			want := old
			if tt.fails == nil {
				want = record(2, 6000)
			}
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the file holds %d bytes, %v; want %d", len(got), err, len(want))
			}
			after, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			a, b := after.Sys().(*syscall.Stat_t), before.Sys().(*syscall.Stat_t)
			if a.Uid != b.Uid || a.Gid != b.Gid || after.Mode() != before.Mode() {
				t.Errorf("it was %d:%d's, %v, and is %d:%d's, %v", b.Uid, b.Gid, before.Mode(), a.Uid, a.Gid, after.Mode())
			}
		})
	}
}

// publicDir is a directory that other users can enter.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

var kinds = []error{nil, core.ErrUnsafeDirectory, core.ErrReadOnly, fs.ErrPermission, syscall.ENOSPC}

func kindOf(err error) string {
	for i, kind := range kinds {
		if errors.Is(err, kind) {
			return strconv.Itoa(i)
		}
	}
	return "another"
}

func init() { roles["probe"] = probeAndSave }

// probeAndSave says what Ping, Probe and Save of the key "k" return.
func probeAndSave(b *Backend) error {
	ctx := context.Background()
	ping, probe := b.Ping(ctx), b.Probe(ctx, "k")
	_, save := b.Save(ctx, "k", core.Record{Data: record(2, 6000), Version: core.AnyVersion})
	for _, op := range []struct {
		name string
		err  error
	}{{"ping", ping}, {"probe", probe}, {"save", save}} {
		fmt.Printf("%s = %s\n%s says = %v\n", op.name, kindOf(op.err), op.name, op.err)
	}
	return nil
}

func TestAFullDiskIsFoundOutBeforehand(t *testing.T) {
	needRoot(t)
	disk := tiny(t)
	dir := filepath.Join(disk, "tokens")
	b := open(t, dir, Options{})
	v := save(t, b, "k", record(1, 3000), core.Absent)
	fill(t, disk)
	for op, err := range map[string]error{"Ping": b.Ping(t.Context()), "Probe": b.Probe(t.Context(), "k"), "Probe of a new one": b.Probe(t.Context(), "k2")} {
		if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s = %v", op, err)
		}
	}
	if _, err := b.Save(t.Context(), "k", core.Record{Data: record(2, 30000), Version: v}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Save = %v", err)
	}
	wantFiles(t, dir, "k")
	if rec, err := b.Load(t.Context(), "k"); err != nil || rec.Version != v {
		t.Errorf("the record was harmed: %v", err)
	}
	if err := b.Delete(t.Context(), "k"); err != nil {
		t.Errorf("Delete on a full disk: %v", err)
	}
}

func TestAReadOnlyRemountIsErrReadOnly(t *testing.T) {
	needRoot(t)
	disk := tiny(t)
	b := open(t, filepath.Join(disk, "tokens"), Options{})
	v := save(t, b, "k", record(1, 0), core.Absent)
	run(t, []string{"mount", "-o", "remount,rw", disk}, "mount", "-o", "remount,ro", disk)
	_, saveErr := b.Save(t.Context(), "k", core.Record{Data: record(2, 0), Version: v})
	_, createErr := b.Save(t.Context(), "k2", core.Record{Data: record(2, 0)})
	_, leaseErr := b.Acquire(t.Context(), "k", time.Second)
	for op, err := range map[string]error{
		"Save": saveErr, "Save of a new one": createErr, "Acquire": leaseErr, "Delete": b.Delete(t.Context(), "k"),
		"Ping": b.Ping(t.Context()), "Probe": b.Probe(t.Context(), "k"),
	} {
		if !errors.Is(err, core.ErrReadOnly) {
			t.Errorf("%s = %v, want ErrReadOnly", op, err)
		}
	}
	if rec, err := b.Load(t.Context(), "k"); err != nil || rec.Version != v {
		t.Errorf("Load = %v", err)
	}
}

// mounted is a directory whose record is a mount point, with record n in it.
func mounted(t *testing.T, n int) (dir, host string) {
	t.Helper()
	needRoot(t)
	host, dir = filepath.Join(t.TempDir(), "host"), t.TempDir()
	write(t, host, record(n, 6<<10), 0o600, 0)
	write(t, filepath.Join(dir, DefaultKey), nil, 0o600, 0)
	bind(t, host, filepath.Join(dir, DefaultKey))
	return dir, host
}

func TestKilledSavesInPlaceLoseNothing(t *testing.T) {
	dir, host := mounted(t, 0)
	kills, midway := count(t, "GRAPHTOKEN_KILLS", 100), 0
	for i := range kills {
		p := start(t, "save", dir)
		last, err := strconv.Atoi(p.line())
		if err != nil {
			t.Fatal("the saver saved nothing: ", err)
		}
		time.Sleep(time.Duration(i%20) * 300 * time.Microsecond) // anywhere in one of the next saves
		p.Signal(t, os.Kill)
		for said := p.line(); said != ""; said = p.line() {
			if n, err := strconv.Atoi(said); err == nil {
				last = n
			}
		}
		p.End(t, os.Kill)

		// By the container's directory, and by the host's, which has no other file of it.
		for _, b := range []*Backend{open(t, dir, Options{}), open(t, filepath.Dir(host), Options{})} {
			key := DefaultKey
			if b.dir != dir {
				key = "host"
			}
			rec, err := b.Load(t.Context(), key)
			if err != nil {
				t.Fatalf("after kill %d: %v", i, err)
			}
			if n, err := numberOf(rec.Data); err != nil || n != last && n != last+1 {
				t.Fatalf("after kill %d: the record is %d (%v); %d was saved, %d perhaps", i, n, err, last, last+1)
			}
		}
		if raw, err := os.ReadFile(host); err != nil || raw[len(raw)-1] != '}' {
			midway++
		}
	}
	t.Logf("%d of %d kills were in the middle of a write", midway, kills)
	if midway == 0 {
		t.Error("no kill was in the middle of a write: the test proves nothing")
	}
	// The next save leaves a plain file, as other programs read it.
	save(t, open(t, dir, Options{}), DefaultKey, record(1, 0), core.AnyVersion)
	if raw, err := os.ReadFile(host); err != nil || !bytes.Equal(raw, record(1, 0)) {
		t.Errorf("the file holds %d bytes, %v", len(raw), err)
	}
}

func TestLoadsBesideAWriterOfAMountPointAreWhole(t *testing.T) {
	dir, _ := mounted(t, 0)
	b := open(t, dir, Options{})
	p := start(t, "save", dir)
	if p.line() == "" {
		t.Fatal("the saver saved nothing")
	}
	go func() {
		for p.line() != "" {
		}
	}()
	last, changes := 0, 0
	for range 3000 {
		rec, err := b.Load(t.Context(), DefaultKey)
		if err != nil {
			t.Fatal(err)
		}
		n, err := numberOf(rec.Data)
		if err != nil || n < last {
			t.Fatalf("record %d after record %d (%v)", n, last, err)
		}
		if n != last {
			changes++
		}
		last = n
	}
	if changes < 2 {
		t.Error("the writer wrote nothing: the test proves nothing")
	}
}

// Two containers that each mount the file share it, and none of the lock files.
func TestContainersThatShareOneFileLoseNoUpdate(t *testing.T) {
	dir, host := mounted(t, 0)
	other := t.TempDir()
	write(t, filepath.Join(other, DefaultKey), nil, 0o600, 0)
	bind(t, host, filepath.Join(other, DefaultKey))
	const each = 40
	done := make(chan error)
	for _, d := range []string{dir, other} {
		b := open(t, d, Options{})
		go func() {
			for n := 0; n < each; {
				rec, err := b.Load(t.Context(), DefaultKey)
				if err != nil {
					done <- err
					return
				}
				stored, err := numberOf(rec.Data)
				if err != nil {
					done <- err
					return
				}
				_, err = b.Save(t.Context(), DefaultKey, core.Record{Data: record(stored+1, 6<<10), Version: rec.Version})
				switch {
				case err == nil:
					n++
				case !errors.Is(err, core.ErrConflict):
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	rec, err := open(t, dir, Options{}).Load(t.Context(), DefaultKey)
	if n, numberErr := numberOf(rec.Data); err != nil || numberErr != nil || n != 2*each {
		t.Errorf("%d saves were acknowledged, and the record counts %d (%v)", 2*each, n, err)
	}
}

//go:build unix

package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/graphtoken/graphtoken/core"
)

// directory returns a new directory with one file in it.
func directory(t *testing.T, content string, mode fs.FileMode) (*os.Root, string) {
	t.Helper()
	path := t.TempDir()
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	if content != "" {
		if err := os.WriteFile(filepath.Join(path, "f"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(path, "f"), mode); err != nil {
			t.Fatal(err)
		}
	}
	return root, path
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is %q, %v; want %q", path, got, err, want)
	}
}

func TestAFileKeepsItsOwnerAndMode(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o644, 0o400} {
		root, path := directory(t, "old", mode)
		file := filepath.Join(path, "f")
		uid, gid := os.Geteuid(), os.Getegid()
		if uid == 0 {
			uid, gid = 1000, 1001
			if err := os.Chown(file, uid, gid); err != nil {
				t.Fatal(err)
			}
		} else {
			t.Log("this is not root: another user's file is not tried")
		}
		if err := Replace(t.Context(), root, Replacement{Name: "f", Temp: "temp", Data: []byte("new")}); err != nil {
			t.Fatal(err)
		}
		wantContent(t, file, "new")
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := owner(info); got != (ids{uint32(uid), uint32(gid)}) || info.Mode().Perm() != mode {
			t.Errorf("a file of %d:%d with mode %04o became %d:%d's, %04o", uid, gid, mode, got.uid, got.gid, info.Mode().Perm())
		}
	}
}

func TestFilesThatRootCreatesBelongToTheDirectorysOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	root, path := directory(t, "", 0)
	if err := os.Chown(path, 1000, 1001); err != nil {
		t.Fatal(err)
	}
	if err := Replace(t.Context(), root, Replacement{Name: "f", Temp: "temp", Data: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	info, err := root.Lstat("f")
	if err != nil {
		t.Fatal(err)
	}
	if got := owner(info); got != (ids{1000, 1001}) || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v's, %v", got, info.Mode())
	}
}

func TestWithoutATemporaryAFileIsWrittenInPlace(t *testing.T) {
	root, path := directory(t, "old", 0o600)
	before, _ := root.Lstat("f")
	if err := Probe(root, Replacement{Name: "f"}); err != nil {
		t.Error(err)
	}
	if err := Replace(t.Context(), root, Replacement{Name: "f", Data: []byte("a longer one")}); err != nil {
		t.Fatal(err)
	}
	wantContent(t, filepath.Join(path, "f"), "a longer one")
	if after, _ := root.Lstat("f"); !os.SameFile(before, after) {
		t.Error("it is another file")
	}
	if err := Replace(t.Context(), root, Replacement{Name: "new", Data: []byte("x")}); err == nil {
		t.Error("a new file was made")
	}
	if err := Probe(root, Replacement{Name: "new"}); err == nil {
		t.Error("Probe says that a new file could be made")
	}
}

func TestAPlantedTemporaryIsNotFollowed(t *testing.T) {
	root, path := directory(t, "old", 0o600)
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(path, "temp")); err != nil {
		t.Fatal(err)
	}
	if err := Replace(t.Context(), root, Replacement{Name: "f", Temp: "temp", Data: []byte("new")}); err != nil {
		t.Fatal(err)
	}
	wantContent(t, victim, "mine")
	wantContent(t, filepath.Join(path, "f"), "new")
}

func TestProbeChangesNothing(t *testing.T) {
	root, path := directory(t, "old", 0o400)
	before, _ := root.Lstat("f")
	if err := Probe(root, Replacement{Name: "f", Temp: "temp"}); err != nil {
		t.Error(err)
	}
	if err := ProbeFile(root, "f"); err != nil {
		t.Error(err)
	}
	after, _ := root.Lstat("f")
	if !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("the file was touched")
	}
	entries, _ := os.ReadDir(path)
	if len(entries) != 1 {
		t.Errorf("the directory holds %v", entries)
	}
}

func TestADirectoryOfOthersIsUnsafe(t *testing.T) {
	_, path := directory(t, "", 0)
	tests := []struct {
		state  string
		mode   fs.FileMode
		uid    int
		unsafe bool
	}{
		{"its owner's alone", 0o700, os.Geteuid(), false},
		{"others can read it", 0o755, os.Geteuid(), false},
		{"its group can write", 0o770, os.Geteuid(), true},
		{"all can write", 0o777, os.Geteuid(), true},
		{"all can write, and remove only what is theirs", 0o777 | fs.ModeSticky, os.Geteuid(), true},
		{"another user's", 0o700, 1000, true},
	}
	for _, tt := range tests {
		t.Run(tt.state, func(t *testing.T) {
			if err := os.Chown(path, tt.uid, -1); err != nil {
				t.Skip("needs root: ", err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			if err := CheckDirectory(path); errors.Is(err, core.ErrUnsafeDirectory) != tt.unsafe {
				t.Errorf("CheckDirectory = %v", err)
			}
		})
	}
}

func TestAReaderBesideAWriterInPlaceReadsWholeContents(t *testing.T) {
	root, path := directory(t, string(contentOf('a', 3*block)), 0o600)
	stop := make(chan struct{})
	done := make(chan error)
	go func() {
		var err error
		for i := 0; err == nil; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			err = Replace(t.Context(), root, Replacement{Name: "f", Data: contentOf("ab"[i%2], 3*block)})
		}
		done <- err
	}()
	changes, last := 0, byte(0)
	for range 3000 {
		f, err := os.Open(filepath.Join(path, "f"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		data, _, err := Read(f, info)
		f.Close()
		if errors.Is(err, errKeepsChanging) {
			continue
		}
		if err != nil || len(data) != 3*block || string(data) != string(contentOf(data[0], 3*block)) {
			t.Fatalf("%d bytes, %v", len(data), err)
		}
		if data[0] != last {
			changes, last = changes+1, data[0]
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if changes < 3 {
		t.Errorf("the content changed %d times: the test proves nothing", changes)
	}
}

func TestWritersInPlaceWaitForEachOther(t *testing.T) {
	root, path := directory(t, "old", 0o600)
	other, err := os.OpenFile(filepath.Join(path, "f"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if locked, err := TryLock(other, true); !locked {
		t.Fatal(err)
	}
	asked := make(chan string, 1)
	done := make(chan error)
	go func() {
		done <- Replace(t.Context(), root, Replacement{Name: "f", Data: []byte("new"), Confirm: func(stored []byte) error {
			asked <- string(stored)
			return nil
		}})
	}()
	if _, err := other.WriteString("OLD"); err != nil {
		t.Fatal(err)
	}
	other.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if stored := <-asked; stored != "OLD" {
		t.Errorf("asked about %q", stored)
	}
	wantContent(t, filepath.Join(path, "f"), "new")
}

func TestTargetIsTheFileAtTheEndOfAllLinks(t *testing.T) {
	dir := t.TempDir()
	below := filepath.Join(dir, "below")
	if err := errors.Join(os.Mkdir(below, 0o700), os.Symlink("below/second", filepath.Join(dir, "first")),
		os.Symlink("../file", filepath.Join(below, "second")), os.Symlink("loop", filepath.Join(dir, "loop"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"file", "first", "below/second"} { // of a file that doesn't exist yet
		got, err := Target(filepath.Join(dir, name))
		if err != nil || filepath.Clean(got) != filepath.Join(dir, "file") {
			t.Errorf("Target(%s) = %q, %v", name, got, err)
		}
	}
	if _, err := Target(filepath.Join(dir, "loop")); err == nil || !strings.Contains(err.Error(), "too many links") {
		t.Errorf("Target of a link to itself = %v", err)
	}
}

func TestAPathThatIsALinkNamesTheFileThatItLeadsTo(t *testing.T) {
	_, path := directory(t, "old", 0o600)
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(path, "f"), link); err != nil {
		t.Fatal(err)
	}
	if err := ProbePath(link); err != nil {
		t.Error(err)
	}
	if err := ReplacePath(t.Context(), link, []byte("new")); err != nil {
		t.Fatal(err)
	}
	wantContent(t, filepath.Join(path, "f"), "new")
	if target, err := os.Readlink(link); err != nil || target != filepath.Join(path, "f") {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if entries, err := os.ReadDir(path); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
	if data, err := ReadFile(link); err != nil || string(data) != "new" {
		t.Errorf("ReadFile = %q, %v", data, err)
	}
}

func TestReadFileReadsAPipeToItsEnd(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, []byte("piped"), 0) }()
	if data, err := ReadFile(pipe); err != nil || string(data) != "piped" {
		t.Errorf("ReadFile = %q, %v", data, err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestOnlyARegularFileOfThatNameIsOpened(t *testing.T) {
	root, path := directory(t, "old", 0o600)
	if err := errors.Join(os.Symlink("f", filepath.Join(path, "link")), os.Mkdir(filepath.Join(path, "dir"), 0o700),
		syscall.Mkfifo(filepath.Join(path, "pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"f": nil, "link": ErrNotRegular, "dir": ErrNotRegular, "pipe": ErrNotRegular, "absent": fs.ErrNotExist} {
		f, err := OpenIn(root, name, os.O_RDWR)
		if !errors.Is(err, want) {
			t.Errorf("OpenIn of %s = %v, want %v", name, err, want)
		}
		if err == nil {
			f.Close()
		}
	}
	for name, want := range map[string]error{"f": nil, "link": nil, "dir": ErrNotRegular, "pipe": ErrNotRegular, "absent": fs.ErrNotExist} {
		f, _, err := Open(filepath.Join(path, name))
		if !errors.Is(err, want) {
			t.Errorf("Open of %s = %v, want %v", name, err, want)
		}
		if err == nil {
			f.Close()
		}
	}
}

func TestAFileThatHasLostItsNameIsReplacedOrAbsent(t *testing.T) {
	root, path := directory(t, "old", 0o600)
	f, err := OpenIn(root, "f", os.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := StillNamed(root, "f", f); err != nil {
		t.Error(err)
	}
	if err := os.Rename(filepath.Join(path, "f"), filepath.Join(path, "g")); err != nil {
		t.Fatal(err)
	}
	if err := StillNamed(root, "f", f); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file of that name: %v", err)
	}
	if err := os.WriteFile(filepath.Join(path, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := StillNamed(root, "f", f); !errors.Is(err, ErrReplaced) {
		t.Errorf("with another file of that name: %v", err)
	}
}

func TestDirectoriesAreMadeForTheirOwnerAlone(t *testing.T) {
	_, path := directory(t, "", 0)
	defer syscall.Umask(syscall.Umask(0))
	below := filepath.Join(path, "a", "b")
	for range 2 { // the second time they exist
		if err := MakeDirectories(below); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{filepath.Dir(below), below} {
		if info, err := os.Stat(dir); err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: %v, %v", dir, info, err)
		}
	}
	nowhere := filepath.Join(path, "nowhere")
	if err := os.Symlink("absent", nowhere); err != nil {
		t.Fatal(err)
	}
	if err := MakeDirectories(nowhere); err == nil {
		t.Error("a link to nowhere is a directory")
	}
}

func TestALockIsSharedOrExclusive(t *testing.T) {
	_, path := directory(t, "x", 0o600)
	var files []*os.File
	for range 2 {
		f, err := os.OpenFile(filepath.Join(path, "f"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	for _, step := range []struct {
		file      int
		exclusive bool
		locked    bool
	}{{0, false, true}, {1, false, true}, {1, true, false}} {
		if locked, err := TryLock(files[step.file], step.exclusive); locked != step.locked || err != nil {
			t.Errorf("%+v: %v, %v", step, locked, err)
		}
	}
	files[0].Close()
	if locked, err := TryLock(files[1], true); !locked || err != nil {
		t.Errorf("after the other file was closed: %v, %v", locked, err)
	}
}

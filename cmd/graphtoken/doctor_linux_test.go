package main_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// mount mounts something for the test, or skips it.
func mount(t *testing.T, source, target, kind string, flags uintptr, options string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		t.Skipf("SKIPPED, not covered here: nothing can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(target, 0); err != nil {
			t.Error(err)
		}
	})
}

func TestADoctorFindsADiskThatIsFull(t *testing.T) {
	for name, options := range map[string]string{
		"of bytes":             "mode=0700,size=600k",
		"of bytes to the last": "mode=0700,size=600k",
		"of files":             "mode=0700,nr_inodes=200",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.login(ana)
			dir := w.mkdir("small", 0o700)
			mount(t, "tmpfs", dir, "tmpfs", 0, options)
			w.ok("copy", w.file(), "file:"+dir+"/#ana")
			switch name {
			case "of files":
				fill(t, filepath.Join(dir, "others"))
			case "of bytes to the last":
				if err := os.WriteFile(filepath.Join(dir, "other"), make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
					t.Fatal(err)
				}
				// It is not the network, although syscall.Errno is a net.Error.
				_, reach, _ := strings.Cut(w.fails(5, "doctor", "file:"+dir+"/").out, "reach: ")
				if !strings.Contains(reach, "→ Make room there") {
					t.Errorf("the advice is: %s", reach)
				}
			}
			w.finds(5, "file:"+dir+"/", "error disk space the file system of "+dir)
		})
	}
}

// fill makes files until the file system takes no more, and then removes a few.
func fill(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	made := 0
	for os.WriteFile(filepath.Join(dir, strconv.Itoa(made)), nil, 0o600) == nil && made < 1000 {
		made++
	}
	for i := range 10 {
		if err := os.Remove(filepath.Join(dir, strconv.Itoa(made-1-i))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADoctorFindsARecordThatIsAMountPoint(t *testing.T) {
	w := newWorld(t)
	w.login(ana)
	other := filepath.Join(w.dir, "other")
	data, err := os.ReadFile(w.file())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(other, data, 0o600); err != nil {
		t.Fatal(err)
	}
	mount(t, other, w.file(), "", syscall.MS_BIND, "")
	w.finds(1, "", "warning file "+w.file()+" is a mount point")
}

package filesystem

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/graphtoken/graphtoken/core/atomicfile"
)

// directories are an open directory of records and its helpers. Opening them takes more
// system calls than most operations in them, so all users at the same time share them.
// They are closed with the last user.
type directories struct {
	home, helpers         *os.Root
	homeInfo, helpersInfo fs.FileInfo
	path                  string
	users                 int // guarded by opened
	mu                    sync.Mutex
	leases                *os.Root // nil: not opened yet
	leasesInfo            fs.FileInfo
	replaced              []*os.Root // former values of leases, which may still be in use
}

var opened = struct {
	mu sync.Mutex
	of map[string]*directories
}{of: make(map[string]*directories)}

// openDirectories opens a directory and its helpers, for the caller to close.
func openDirectories(home string) (*directories, error) {
	opened.mu.Lock()
	d := opened.of[home]
	if d != nil {
		d.users++
	}
	opened.mu.Unlock()
	if d != nil {
		if d.areNamed() {
			return d, nil
		}
		d.close()
	}
	d = &directories{path: home, users: 1}
	if err := d.open(); err != nil {
		d.closeAll()
		return nil, err
	}
	opened.mu.Lock()
	defer opened.mu.Unlock()
	opened.of[home] = d
	return d, nil
}

func (d *directories) open() (err error) {
	if d.home, err = os.OpenRoot(d.path); err != nil {
		return err
	}
	if d.homeInfo, err = d.home.Stat("."); err != nil {
		return atomicfile.Located(d.home, err)
	}
	d.helpers, d.helpersInfo, err = openBelow(d.home, helpers)
	return err
}

// areNamed reports whether their names still lead to them: they may have been removed or
// replaced.
func (d *directories) areNamed() bool {
	home, err := os.Stat(d.path)
	if err != nil || !os.SameFile(home, d.homeInfo) {
		return false
	}
	below, err := d.home.Lstat(helpers)
	return err == nil && os.SameFile(below, d.helpersInfo)
}

// leasesBelow returns the directory of lease files.
func (d *directories) leasesBelow() (*os.Root, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.leases != nil {
		named, err := d.helpers.Lstat(leases)
		if err != nil {
			return nil, atomicfile.Located(d.helpers, err)
		}
		if os.SameFile(named, d.leasesInfo) {
			return d.leases, nil
		}
	}
	root, info, err := openBelow(d.helpers, leases)
	if err != nil {
		return nil, err
	}
	if d.leases != nil {
		d.replaced = append(d.replaced, d.leases)
	}
	d.leases, d.leasesInfo = root, info
	return root, nil
}

// makeLeases is leasesBelow, and makes the directory if it is missing.
func (d *directories) makeLeases() (*os.Root, error) {
	root, err := d.leasesBelow()
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := makeBelow(d.helpers, leases); err != nil {
			return nil, err
		}
		root, err = d.leasesBelow()
	}
	return root, err
}

// keepOpen keeps them open until close is called once more.
func (d *directories) keepOpen() (close func()) {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	d.users++
	return d.close
}

// close closes them with the last user.
func (d *directories) close() {
	opened.mu.Lock()
	d.users--
	last := d.users == 0
	if last && opened.of[d.path] == d {
		delete(opened.of, d.path)
	}
	opened.mu.Unlock()
	if last {
		d.closeAll()
	}
}

func (d *directories) closeAll() {
	for _, root := range append(d.replaced, d.leases, d.helpers, d.home) {
		if root != nil {
			_ = root.Close()
		}
	}
}

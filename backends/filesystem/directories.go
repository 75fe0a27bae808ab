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

// openLeases opens the directory of lease files, for the caller to close.
func (d *directories) openLeases() (*os.Root, error) {
	root, _, err := openBelow(d.helpers, leases)
	return root, err
}

// makeLeases is openLeases, and makes the directory if it is missing.
func (d *directories) makeLeases() (*os.Root, error) {
	root, err := d.openLeases()
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := makeBelow(d.helpers, leases); err != nil {
			return nil, err
		}
		return d.openLeases()
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
	for _, root := range []*os.Root{d.helpers, d.home} {
		if root != nil {
			_ = root.Close()
		}
	}
}

package filesystem

import (
	"errors"
	"io/fs"
	"os"
	"sync"

	"github.com/graphtoken/graphtoken/core/atomicfile"
)

// directories are the open directories that a place needs. Opening them takes more system
// calls than most operations in them, so all users at the same time share them. They are
// closed with the last user.
type directories struct {
	record                            *os.Root // home, unless the record is a link that leads elsewhere
	home, helpers, leases             *os.Root
	homeInfo, helpersInfo, leasesInfo fs.FileInfo

	paths paths
	users int // guarded by opened
}

// paths tell directories apart.
type paths struct{ home, record string }

var opened = struct {
	mu sync.Mutex
	of map[paths]*directories
}{of: make(map[paths]*directories)}

// openDirectories opens a place's directories, for the caller to close. The error is
// fs.ErrNotExist if one of them is missing.
func openDirectories(at place) (*directories, error) {
	d := &directories{paths: paths{at.home, at.dir}, users: 1}
	opened.mu.Lock()
	shared := opened.of[d.paths]
	if shared != nil {
		shared.users++
	}
	opened.mu.Unlock()
	if shared != nil {
		if shared.areNamed() {
			return shared, nil
		}
		shared.close()
	}
	if err := d.open(); err != nil {
		d.closeAll()
		return nil, err
	}
	opened.mu.Lock()
	defer opened.mu.Unlock()
	opened.of[d.paths] = d
	return d, nil
}

func (d *directories) open() (err error) {
	if d.home, err = os.OpenRoot(d.paths.home); err != nil {
		return err
	}
	if d.homeInfo, err = d.home.Stat("."); err != nil {
		return atomicfile.Located(d.home, err)
	}
	if d.helpers, d.helpersInfo, err = openBelow(d.home, helpers); err != nil {
		return err
	}
	if d.leases, d.leasesInfo, err = openBelow(d.helpers, leases); err != nil {
		return err
	}
	d.record = d.home
	if d.paths.record != d.paths.home {
		d.record, err = os.OpenRoot(d.paths.record)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return errMoved // the link led there a moment ago
	}
	return err
}

// areNamed reports whether their names still lead to them: they may have been removed or
// replaced.
func (d *directories) areNamed() bool {
	home, homeErr := os.Stat(d.paths.home)
	below, belowErr := d.home.Lstat(helpers)
	bottom, bottomErr := d.helpers.Lstat(leases)
	return errors.Join(homeErr, belowErr, bottomErr) == nil &&
		os.SameFile(home, d.homeInfo) && os.SameFile(below, d.helpersInfo) && os.SameFile(bottom, d.leasesInfo)
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
	if last && opened.of[d.paths] == d {
		delete(opened.of, d.paths)
	}
	opened.mu.Unlock()
	if last {
		d.closeAll()
	}
}

func (d *directories) closeAll() {
	for _, root := range []*os.Root{d.leases, d.helpers, d.home, d.record} {
		if root != nil {
			_ = root.Close() // of the home twice, which does no harm
		}
	}
}

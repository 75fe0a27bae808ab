package filesystem

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// How often a waiter looks at its record, and how often at the lease, which takes ten times as
// long. The looks of a process are limited, so that thousands of waiters don't take the
// processor from the processes for which they wait.
const (
	lookEvery     = 5 * time.Millisecond
	mostLooks     = 2000 // a second, of the whole process
	looksPerLease = 5
)

// files is one store for package backend: all directories share the looks.
type files struct{}

// watch is how b looks at a place.
func watch(b *Backend, at place) backend.Watch {
	return backend.Watch{
		Place:     files{},
		Name:      strings.Join([]string{at.dir, at.name, at.home, at.as}, "\x00"),
		Look:      (&watched{b: b, at: at}).look,
		Last:      lookEvery,
		MostLooks: mostLooks,
	}
}

// watched is a record with waiters, as it was at the last look.
type watched struct {
	b       *Backend
	at      place
	looks   int
	version core.Version
	info    fs.FileInfo
	read    time.Time
}

// How long a file that looks unchanged isn't read. Within one tick of the file system's
// clock, a file can change without another number, size or date. So a file that had just
// changed when it was read is read again soon; and every file at times, because the file
// system's clock may be another machine's.
const (
	unread        = 200 * time.Millisecond
	settledUnread = 2 * time.Second
)

// look looks at the record, and with every fifth call at the lease.
func (k *watched) look(context.Context, string) (core.Version, time.Duration, error) {
	version, err := k.stored()
	left := backend.Held
	if k.looks%looksPerLease == 0 && err == nil {
		var held bool
		if _, held, err = k.b.lookAtLease(k.at); !held {
			left = 0
		}
	}
	k.looks++
	return version, left, err
}

// stored returns the stored version. It reads the record only if that may have changed.
func (k *watched) stored() (core.Version, error) {
	info, err := os.Stat(k.at.record())
	if errors.Is(err, fs.ErrNotExist) {
		k.info = nil
		return core.Absent, nil
	}
	if err != nil {
		return "", err
	}
	trust := unread
	if k.read.Sub(info.ModTime()) > unread {
		trust = settledUnread
	}
	if k.info != nil && time.Since(k.read) < trust &&
		os.SameFile(info, k.info) && info.Size() == k.info.Size() && info.ModTime().Equal(k.info.ModTime()) {
		return k.version, nil
	}
	version, err := storedVersion(k.at.record())
	if err != nil {
		return "", err
	}
	k.version, k.info, k.read = version, info, time.Now()
	return version, nil
}

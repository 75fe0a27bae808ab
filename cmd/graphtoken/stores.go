package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
)

// scheme is one kind of store.
type scheme struct {
	name  string
	forms string // what --help shows
	open  func(place string, options url.Values, key string) (place, error)
}

// place is one record of a backend.
type place struct {
	scheme   string
	backend  core.TokenBackend
	key      string
	path     string // the file of the record; empty if there is none
	readOnly bool

	// The conformance command needs the backend's claims, and a part of the same store
	// under a name of its own.
	claims conformance.Capabilities
	trial  func(name string) (trial, error)
}

// own refuses a record in a place where other users can write, also behind links, which
// the backends follow. A directory that doesn't exist is created by the first save, for
// its user alone.
func (p place) own() error {
	path := p.path
	for links := 0; path != "" && links < 40; links++ {
		if err := atomicfile.CheckDirectory(filepath.Dir(path)); errors.Is(err, core.ErrUnsafeDirectory) {
			return &core.Error{Op: "open", Backend: p.scheme, Key: p.key, Err: err}
		}
		target, err := os.Readlink(path)
		if err != nil {
			return nil // no link
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return nil
}

// coordinated are the claims of a backend that several processes can share.
var coordinated = conformance.Capabilities{
	CAS: conformance.CASEnforced, Coordinates: true, Lease: true, LeaseExpires: true, Watch: true, List: true, Ping: true,
}

// schemes are the stores that --store can name, with one line for each backend.
var schemes = []scheme{
	{"file", "file:///path/to/file, file:relative/file, or a directory with a slash at its end", openFile},
	{"env", "env://NAME, read only, or env://NAME?file=.env", openEnv},
}

func storesHelp() string {
	var forms []string
	for _, s := range schemes {
		forms = append(forms, s.forms)
	}
	return strings.Join(forms, "; ")
}

// openStore opens the store that --store names. A text without a scheme is the path of a
// file.
func openStore(store, key string) (place, error) {
	name, rest, found := strings.Cut(store, ":")
	if !found || strings.ContainsAny(name, `/\.`) || filepath.VolumeName(store) != "" {
		return openPath(store, key)
	}
	for _, s := range schemes {
		if !strings.EqualFold(s.name, name) {
			continue
		}
		rest, query, _ := strings.Cut(rest, "?")
		options, err := url.ParseQuery(query)
		if err != nil {
			return place{}, usageError("--store " + s.name + ": what follows the question mark can't be read")
		}
		rest, err = url.PathUnescape(rest)
		if err != nil {
			return place{}, usageError(fmt.Sprintf("--store %s: %v", s.name, err))
		}
		return s.open(rest, options, key)
	}
	// The rest isn't shown: it may contain a password.
	return place{}, usageError(fmt.Sprintf("--store: there is no kind of store %q; there are: %s", name, storesHelp()))
}

// openFile opens file:///path and file://localhost/path (RFC 8089), and
// file:path, which is relative to the working directory.
func openFile(rest string, options url.Values, key string) (place, error) {
	if len(options) > 0 {
		return place{}, usageError("--store file: takes no options")
	}
	if authority, ok := strings.CutPrefix(rest, "//"); ok {
		host, path, _ := strings.Cut(authority, "/")
		if host != "" && host != "localhost" {
			return place{}, usageError("--store file://" + host + "/… names another machine; a relative path is file:relative/file")
		}
		rest = "/" + path
		if drive := filepath.VolumeName(path); drive != "" { // file:///C:/path
			rest = path
		}
	}
	return openPath(filepath.FromSlash(rest), key)
}

// openPath opens a file. If the path ends with a slash or is a directory, it opens the
// file key in it.
func openPath(path, key string) (place, error) {
	dir, file := filepath.Split(path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		dir, file = path, ""
	}
	switch {
	case path == "":
		return place{}, usageError("--store names no file")
	case file != "" && key != "":
		return place{}, usageError("--store " + path + " names a file already: --record is for a directory")
	case file == "" && key == "":
		file = filesystem.DefaultKey
	case file == "":
		file = key
	}
	if dir == "" {
		dir = "."
	}
	b, err := filesystem.New(dir, filesystem.Options{})
	return place{scheme: "file", backend: b, key: file, path: filepath.Join(dir, file), claims: coordinated, trial: func(name string) (trial, error) {
		return fileTrial(filepath.Join(dir, "graphtoken-conformance-"+name)), nil
	}}, err
}

// fileTrial is a directory of its own beside the record.
func fileTrial(dir string) trial {
	return trial{
		open:   func() (core.TokenBackend, error) { return filesystem.New(dir, filesystem.Options{}) },
		remove: func() error { return os.RemoveAll(dir) },
	}
}

// openEnv opens a variable of this process, or of a dotenv file. The process's own
// variables can only be read: a change would end with this command.
func openEnv(rest string, options url.Values, key string) (place, error) {
	name := strings.TrimPrefix(rest, "//")
	switch {
	case name != "" && key != "":
		return place{}, usageError("--store env://" + name + " names a variable already: --record is for env:// alone")
	case name == "" && key == "":
		name = env.DefaultKey
	case name == "":
		name = key
	}
	file := options.Get("file")
	options.Del("file")
	if len(options) > 0 {
		return place{}, usageError("--store env: has no option but file")
	}
	b, err := env.New(env.Options{DotEnv: file, ReadOnly: file == ""})
	return place{scheme: "env", backend: b, key: name, path: file, readOnly: file == "", claims: coordinated, trial: func(name string) (trial, error) {
		return envTrial(env.Options{Prefix: "GRAPHTOKEN_CONFORMANCE_" + name + "_", DotEnv: file})
	}}, err
}

// envTrial is variables with a prefix of their own.
func envTrial(o env.Options) (trial, error) {
	b, err := env.New(o)
	return trial{
		open:   func() (core.TokenBackend, error) { return env.New(o) },
		remove: func() error { return deleteAll(b) },
	}, err
}

// defaultStore is a file of the user's own.
func defaultStore() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", usageError("name a store with --store: there is no place for a default one")
	}
	return filepath.Join(dir, "graphtoken", "tokens.json"), nil
}

package main

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
)

// scheme is one kind of store.
type scheme struct {
	name  string
	forms string // what --help shows
	open  func(place string, options url.Values, key string) (place, error)
}

// place is one record of a backend.
type place struct {
	backend  core.TokenBackend
	key      string
	readOnly bool
}

// schemes are the stores that --store can name: one line for each backend.
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

// openStore opens what a --store names. A text without a scheme is the path of
// a file.
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
			return place{}, usageError(fmt.Sprintf("--store %s: what follows the question mark can't be read", store))
		}
		rest, err = url.PathUnescape(rest)
		if err != nil {
			return place{}, usageError(fmt.Sprintf("--store %s: %v", store, err))
		}
		return s.open(rest, options, key)
	}
	return place{}, usageError(fmt.Sprintf("--store %s: there is no store %q; there are: %s", store, name, storesHelp()))
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
			return place{}, usageError("--store file://" + host + "/… names another machine; a relative path is file:" + authority)
		}
		rest = "/" + path
		if drive := filepath.VolumeName(path); drive != "" { // file:///C:/path
			rest = path
		}
	}
	return openPath(filepath.FromSlash(rest), key)
}

// openPath opens a file, or, where the path ends with a slash or is one, the
// file key in a directory.
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
	return place{backend: b, key: file}, err
}

// openEnv opens a variable of this process, or of a dotenv file. The process's
// own can only be read: what is written there ends with this command.
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
	return place{backend: b, key: name, readOnly: file == ""}, err
}

// defaultStore is a file of the user's own.
func defaultStore() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", usageError("name a store with --store: there is no place for a default one")
	}
	return filepath.Join(dir, "graphtoken", "tokens.json"), nil
}

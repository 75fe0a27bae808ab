package stores

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/backends/filesystem"
)

// openFile opens file:///path and file://localhost/path (RFC 8089), and file:path, which is
// relative to the working directory.
func openFile(_ context.Context, a *address, o Options) (*Place, error) {
	path := a.Path
	switch {
	case a.Opaque != "":
		unescaped, err := url.PathUnescape(a.Opaque)
		if err != nil {
			return nil, a.errorf("a %% isn't followed by two hexadecimal digits")
		}
		path = unescaped
	case a.Host != "" && a.Host != "localhost":
		return nil, a.errorf("file://%s/… names another machine; a relative path is file:relative/file", a.Host)
	case filepath.VolumeName(strings.TrimPrefix(path, "/")) != "": // file:///C:/path
		path = path[1:]
	}
	native, err := a.native()
	if err != nil {
		return nil, err
	}
	o.Record = a.record
	return openFiles(filepath.FromSlash(path), native, o)
}

// openPath opens a file, under the very name that it has. If the path ends with a slash or
// is a directory, the record is a file in it.
func openPath(path string, o Options) (*Place, error) { return openFiles(path, true, o) }

func openFiles(path string, native bool, o Options) (*Place, error) {
	dir, file := filepath.Split(path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		dir, file = path, ""
	}
	a := &address{URL: &url.URL{Scheme: "file"}}
	switch {
	case path == "":
		return nil, a.errorf("it names no file")
	case file != "" && o.Record != "":
		return nil, a.errorf("the path names a file already: a record is named in a directory")
	case file == "":
		file = o.Record
	}
	if dir == "" {
		dir = "."
	}
	p := &Place{Kind: "file", Key: file, shown: filepath.Join(dir, file)}
	if o.Prefix != "" {
		dir = filepath.Join(dir, "graphtoken-"+strings.Trim(o.Prefix, "/-_"))
		p.remove = func() error { return os.RemoveAll(dir) }
	}
	p.Path = filepath.Join(dir, file)
	b, err := filesystem.New(dir, filesystem.Options{NativeNames: native})
	p.Backend = b
	return p, err
}

// openEnv opens a variable of this process, or of a dotenv file.
func openEnv(_ context.Context, a *address, o Options) (*Place, error) {
	name := a.Host + a.Opaque + strings.Trim(a.Path, "/")
	switch {
	case name != "" && a.record != "":
		return nil, a.errorf("env://%s names a variable already: a record is named in env:// alone", name)
	case name == "":
		name = a.record
	}
	native, err := a.native()
	if err != nil {
		return nil, err
	}
	file := a.option("file")
	options := env.Options{DotEnv: file, ReadOnly: file == "", NativeNames: native}
	if o.Prefix != "" { // variables of its own can be tried
		options.Prefix, options.ReadOnly = strings.ToUpper(strings.NewReplacer("-", "_", "/", "_").Replace(o.Prefix)), false
	}
	b, err := env.New(options)
	return &Place{Backend: b, Key: name, Path: file, ReadOnly: options.ReadOnly}, err
}

// Package env keeps token records in environment variables: in those of the process, or
// in a dotenv file.
//
//	backend, err := env.New(env.Options{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend)
//	cache, version, err := store.Load(ctx, env.DefaultKey)
//
// A process that writes to its variables changes those of the processes that it starts
// afterwards, and of no others: neither its parent's nor those of its next run. With
// [Options.DotEnv] records outlast the process.
package env

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// DefaultKey is the key of the record in the variable that python-o365 uses.
const DefaultKey = "O365TOKEN"

// Options configures a [Backend]. The zero value reads and writes the
// variables of the process.
type Options struct {
	// Prefix comes before every variable's name, without escaping.
	Prefix string

	// NativeNames makes a key the name of its variable, whatever bytes it has, so that
	// records can be used that another program has named. Only a key that can't be a
	// variable's name gets another name: a key with "=" and, in a dotenv file, whose
	// readers accept no other names, a key with anything but [A-Za-z0-9_.].
	//
	// Without NativeNames, bytes outside of [A-Za-z0-9._-] are escaped, and so is lower
	// case on Windows. In a dotenv file, a key with anything but [A-Za-z0-9_.] becomes
	// "__" and its base32, and so does a key that begins with "__". All programs that
	// share the variables must have the same setting.
	NativeNames bool

	// ReadOnly refuses Save and Delete with core.ErrReadOnly.
	ReadOnly bool

	// DotEnv is the path of a dotenv file. If it is set, records are kept there and
	// nowhere else: variables of the process are neither read nor written. Other lines of
	// the file stay as they are. The first Save makes the file, in a directory that must
	// exist.
	DotEnv string
}

// Backend is a [core.TokenBackend] on environment variables. All Backends of a process
// that use its variables, or the same file, are one store: they compare versions and hold
// leases together.
type Backend struct {
	place  *place
	naming naming
	o      Options
}

// origin names the backend in its errors.
const origin backend.Origin = "env"

var (
	_ backend.Coordinated = (*Backend)(nil)
	_ core.Locator        = (*Backend)(nil)
	_ core.Prober         = (*Backend)(nil)
	_ core.SizeLimiter    = (*Backend)(nil)
)

// New returns a backend. It reads nothing yet: its errors are about the options, such as
// a prefix that can't begin a variable's name.
func New(o Options) (*Backend, error) {
	b := &Backend{place: process, o: o}
	if o.DotEnv != "" {
		// A relative path begins at the working directory of this moment, even if the
		// process changes its working directory later.
		path, err := filepath.Abs(o.DotEnv)
		if err != nil {
			return nil, fmt.Errorf("env: Options.DotEnv: %w", err)
		}
		b.place = fileAt(path)
	}
	b.naming = b.place.naming(o.NativeNames)
	switch {
	case !b.place.begins(o.Prefix):
		return nil, errors.New("env: Options.Prefix has a byte that can't be in a variable's name")
	case b.MaxSize() < 1:
		return nil, errors.New("env: Options.Prefix is so long that no value fits")
	}
	return b, nil
}

// Place implements [core.Locator]. Backends with the same variables, the process's or a
// file's, and the same prefix have one place.
func (b *Backend) Place() any { return [...]any{b.place, b.o.Prefix, b.o.NativeNames} }

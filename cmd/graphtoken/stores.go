package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/graphtoken/graphtoken/backends/env"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/atomicfile"
	"github.com/graphtoken/graphtoken/stores"
)

// place is a store, and the record in it that the flags name.
type place struct {
	*stores.Place
	url string // as the user gave it: it may contain a password
}

// openStore opens the store that --store names. If migrate is set, a database's table is
// made if it is missing.
func openStore(ctx context.Context, url, record string, migrate bool) (place, error) {
	at, err := stores.Open(ctx, url, stores.Options{Record: record, Migrate: migrate})
	if err != nil {
		return place{}, inStoreFlag(err)
	}
	switch {
	case at.Key != "":
	case at.Kind == "file":
		at.Key, at.Path = filesystem.DefaultKey, filepath.Join(at.Path, filesystem.DefaultKey)
	case at.Kind == "env":
		at.Key = env.DefaultKey
	}
	return place{at, url}, nil
}

// inStoreFlag says which flag an error of a URL is about.
func inStoreFlag(err error) error {
	if errors.Is(err, stores.ErrURL) {
		return usageError("--store: " + err.Error() + "; see graphtoken --help")
	}
	return err
}

// named returns an error unless a record is named.
func (p place) named() error {
	if p.Key == "" {
		return usageError(fmt.Sprintf("--store %s may hold many records: name one by #NAME at its end, or by --record", p))
	}
	return nil
}

// own refuses a record in a place where other users can write, also behind links, which
// the backends follow. A directory that doesn't exist is created by the first save, for
// its user alone.
func (p place) own() error {
	path := p.Path
	for links := 0; path != "" && links < 40; links++ {
		if err := atomicfile.CheckDirectory(filepath.Dir(path)); errors.Is(err, core.ErrUnsafeDirectory) {
			return &core.Error{Op: "open", Backend: p.Kind, Key: p.Key, Err: err}
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

// claims are what the store's backend can do.
func (p place) claims() conformance.Capabilities {
	if p.Kind == "bitwarden" { // the service compares no versions, and has no leases
		return conformance.Capabilities{CAS: conformance.CASDetects, List: true, Ping: true}
	}
	return conformance.Capabilities{
		CAS: conformance.CASEnforced, Coordinates: true, Lease: true, LeaseExpires: true, Watch: true, List: true, Ping: true,
	}
}

// openTrial opens a part of the same store that nobody else uses.
func (p place) openTrial(ctx context.Context, name string) (*stores.Place, error) {
	url := p.url
	switch {
	case p.Kind == "file": // a directory beside the record
		url = filepath.Dir(p.Path) + string(filepath.Separator)
		name = "conformance-" + name
	case p.Kind == "env":
		url, _, _ = strings.Cut(p.url, "://")
		url += "://"
		if p.Path != "" {
			url += "?file=" + p.Path
		}
		name = "graphtoken-conformance-" + name + "-"
	default:
		name = "graphtoken-conformance-" + name + "-"
	}
	return stores.Open(ctx, url, stores.Options{Prefix: name, Migrate: true})
}

func storesHelp() string {
	var forms []string
	for _, k := range stores.Kinds() {
		forms = append(forms, k.Forms[0])
	}
	return strings.Join(forms, ", ")
}

// defaultStore is a file of the user's own.
func defaultStore() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", usageError("name a store with --store: there is no place for a default one")
	}
	return filepath.Join(dir, "graphtoken", "tokens.json"), nil
}

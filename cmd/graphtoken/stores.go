package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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

// openStore opens the store that a URL names, which stood in that flag or argument. If it is opened for one record and the URL
// names none, that is the default one of files and variables.
func openStore(ctx context.Context, flag, url string, o stores.Options, of extent) (place, error) {
	at, err := stores.Open(ctx, url, o)
	if err != nil {
		return place{}, inStoreFlag(flag, url, err)
	}
	switch {
	case at.Key != "" || of == allRecords:
	case at.Kind == "file":
		at.Key, at.Path = filesystem.DefaultKey, filepath.Join(at.Path, filesystem.DefaultKey)
	case at.Kind == "env":
		at.Key = env.DefaultKey
	}
	at.Backend = patient{at.Backend}
	return place{at, url}, nil
}

// kindOf is the kind of the store that a URL names.
func kindOf(url string) string {
	scheme, _, _ := strings.Cut(url, ":")
	for _, k := range stores.Kinds() {
		if slices.Contains(k.Schemes, strings.ToLower(scheme)) {
			return k.Schemes[0]
		}
	}
	return "file"
}

// patience is how long a command waits for one answer of a store. Some clients try again
// until they are told to end.
const patience = 30 * time.Second

// patient is a backend whose answers are waited for no longer than patience.
type patient struct{ core.TokenBackend }

func (p patient) Unwrap() core.TokenBackend { return p.TokenBackend }

func (p patient) Load(ctx context.Context, key string) (core.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.TokenBackend.Load(ctx, key)
}

func (p patient) Check(ctx context.Context, key string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.TokenBackend.Check(ctx, key)
}

func (p patient) Save(ctx context.Context, key string, r core.Record) (core.Version, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.TokenBackend.Save(ctx, key, r)
}

func (p patient) Delete(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return p.TokenBackend.Delete(ctx, key)
}

// inStoreFlag says which flag an error of a URL is about, and which store any other error.
func inStoreFlag(flag, url string, err error) error {
	if errors.Is(err, stores.ErrURL) {
		return usageError(flag + ": " + err.Error() + "; see graphtoken help stores")
	}
	if told := (*core.Error)(nil); !errors.As(err, &told) {
		err = &core.Error{Op: "open", Backend: "stores", Err: err}
	}
	return &placeError{redact(url), redact(url), err}
}

// wantRecord returns an error unless a record is named.
func (p place) wantRecord() error {
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
	if p.Key == "" && p.Kind == "file" {
		path = filepath.Join(path, filesystem.DefaultKey) // any file in the directory
	}
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
	claims := conformance.Capabilities{
		CAS: conformance.CASEnforced, Coordinates: true, Lease: true, LeaseExpires: true, Watch: true, List: true, Ping: true,
	}
	if p.Kind == "env" { // a file of variables is compared and written in one step in one process only
		claims.CAS = conformance.CASDetects
	}
	return claims
}

// openTrial opens a part of the same store that nobody else uses. Its name says what for.
func (p place) openTrial(ctx context.Context, purpose, name string) (*stores.Place, error) {
	url := p.url
	switch {
	case p.Kind == "file": // a directory beside the record
		url = p.Path + string(filepath.Separator)
		if p.Key != "" {
			url = filepath.Dir(p.Path) + string(filepath.Separator)
		}
		name = purpose + "-" + name
	case p.Kind == "env":
		url, _, _ = strings.Cut(p.url, "://")
		url += "://"
		if p.Path != "" {
			url += "?file=" + p.Path
		}
		name = "graphtoken-" + purpose + "-" + name + "-"
	default:
		name = "graphtoken-" + purpose + "-" + name + "-"
	}
	return stores.Open(ctx, url, stores.Options{Prefix: name, Migrate: true})
}

// records are the names of the records of the store, or the one that the flags name.
func (p place) records(ctx context.Context) iter.Seq2[string, error] {
	if p.Key != "" {
		return func(yield func(string, error) bool) { yield(p.Key, nil) }
	}
	lister, ok := core.As[core.Lister](p.Backend)
	if !ok {
		return func(yield func(string, error) bool) {
			yield("", usageError(fmt.Sprintf("%s can't list its records: name one by #NAME at its end, or by --record", p)))
		}
	}
	return lister.Keys(ctx)
}

// defaultStore is a file of the user's own.
func defaultStore() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", usageError("name a store with --store: there is no place for a default one")
	}
	return filepath.Join(dir, "graphtoken", "tokens.json"), nil
}
